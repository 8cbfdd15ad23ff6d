package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// The two services, in short what protoc would generate of
//
//	package shop;
//	service Orders {
//	  rpc Get(google.protobuf.StringValue) returns (google.protobuf.StringValue);
//	}
//	service Stock {
//	  rpc Count(google.protobuf.StringValue) returns (google.protobuf.StringValue);
//	  rpc Watch(stream google.protobuf.StringValue) returns (stream google.protobuf.StringValue);
//	}
const (
	ordersGet  = "/shop.Orders/Get"
	stockCount = "/shop.Stock/Count"
	stockWatch = "/shop.Stock/Watch"
)

type (
	text        = wrapperspb.StringValue
	unary       = func(context.Context, string) (string, error)
	watchServer = grpc.GenericServerStream[text, text]
	watchClient = grpc.GenericClientStream[text, text]
)

func registerOrders(server *grpc.Server, get unary) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Orders",
		Methods:     []grpc.MethodDesc{{MethodName: "Get", Handler: serveUnary(ordersGet, get)}},
	}, nil)
}

func registerStock(server *grpc.Server, count unary, watch func(*watchServer) error) {
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Stock",
		Methods:     []grpc.MethodDesc{{MethodName: "Count", Handler: serveUnary(stockCount, count)}},
		Streams: []grpc.StreamDesc{{StreamName: "Watch", ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return watch(&watchServer{ServerStream: stream}) }}},
	}, nil)
}

func serveUnary(method string, serve unary) grpc.MethodHandler {
	handler := func(ctx context.Context, in any) (any, error) {
		out, err := serve(ctx, in.(*text).GetValue())
		return wrapperspb.String(out), err
	}
	return func(_ any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := new(text)
		if err := decode(in); err != nil {
			return nil, err
		}
		if interceptor == nil {
			return handler(ctx, in)
		}
		return interceptor(ctx, in, &grpc.UnaryServerInfo{FullMethod: method}, handler)
	}
}

// call calls a unary method.
func call(ctx context.Context, conn *grpc.ClientConn, method, in string) (string, error) {
	out := new(text)
	err := conn.Invoke(ctx, method, wrapperspb.String(in), out)
	return out.GetValue(), err
}

// watch opens the stream.
func watch(ctx context.Context, conn *grpc.ClientConn) (*watchClient, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, stockWatch)
	return &watchClient{ClientStream: stream}, err
}
