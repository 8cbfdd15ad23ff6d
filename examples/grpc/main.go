// Grpc: orders and inventory are two services of one shop. Orders calls inventory by the
// token of whoever called orders, narrowed to that call. Streams end with their token, or
// at the first message that it does not allow.
//
//	go run ./examples/grpc
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

func main() {
	ctx := context.Background()
	keys := rootkey.InMemory()
	cert := certificate()

	// Inventory has a unary method and a stream. What each message of the stream asks
	// for is decided on its own.
	handedOn := make(chan string, 1)
	inventory := serve(cert, keys, "inventory", grpcauth.Options{
		Operations: map[string]string{"/shop.Stock/*": "stock.read"},
		Public:     []string{healthpb.Health_Check_FullMethodName},
		Messages: map[string]grpcauth.Extractor{
			stockWatch: grpcauth.Extract(func(m *text) (operation, resource string) {
				return "stock.read", "items/" + caveat.EscapeSegment(m.GetValue())
			}),
		},
	}, func(server *grpc.Server) {
		healthpb.RegisterHealthServer(server, health.NewServer())
		registerStock(server, func(ctx context.Context, item string) (string, error) {
			select {
			case handedOn <- metadata.ValueFromIncomingContext(ctx, "authorization")[0]: // for the thief, below
			default:
			}
			return fmt.Sprintf("12 %s in stock, as %s may know", item, subject(ctx)), nil
		}, func(stream *watchServer) error {
			for {
				item, err := stream.Recv()
				if err != nil {
					return err
				}
				if err := stream.Send(wrapperspb.String("12 " + item.GetValue())); err != nil {
					return err
				}
			}
		})
	})

	// Orders asks inventory by its caller's token: for nothing but stock, and by the
	// credentials for nothing but the one method, for half a minute.
	toInventory := dial(cert, inventory, client.Forwarding(caveat.Audience("inventory"), caveat.Operations("stock.read")), grpcauth.ClientOptions{})
	orders := serve(cert, keys, "orders", grpcauth.Options{
		Operations: map[string]string{ordersGet: "orders.read"},
		Forward:    true,
	}, func(server *grpc.Server) {
		registerOrders(server, func(ctx context.Context, id string) (string, error) {
			stock, err := call(ctx, toInventory, stockCount, "eggs")
			return fmt.Sprintf("order %s of %s; inventory: %s", id, subject(ctx), stock), err
		})
	})

	// Alice's program holds the token of her session. What it sends to orders is good for
	// the method that it calls, and for the one that orders needs for that.
	session := must(keys.Mint(ctx, macaroon.Grant{Subject: "alice"}, caveat.ExpiresIn(time.Hour),
		caveat.Audience("orders", "inventory"), caveat.Operations("orders.*", "stock.*")))
	source := client.Static(must(macaroon.NewWallet(session)))
	alice := dial(cert, orders, source, grpcauth.ClientOptions{
		AnyMethod: true,
		Caveats: func(_ context.Context, method string) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{caveat.GRPCMethods(method, stockCount)}, nil
		},
	})
	fmt.Println("Alice asks orders, and orders asks inventory by her token:")
	fmt.Println(" ", must(call(ctx, alice, ordersGet, "7")))

	fmt.Println("The token that inventory got is good for that call, and for no other:")
	stolen := metadata.AppendToOutgoingContext(ctx, "authorization", <-handedOn)
	thiefAtInventory, thiefAtOrders := dial(cert, inventory, nil, grpcauth.ClientOptions{}), dial(cert, orders, nil, grpcauth.ClientOptions{})
	report("count of inventory", last(call(stolen, thiefAtInventory, stockCount, "eggs")))
	report("watch of inventory", exchange(must(watch(stolen, thiefAtInventory)), "eggs"))
	report("get of orders", last(call(stolen, thiefAtOrders, ordersGet, "7")))
	report("no token at all", last(call(ctx, thiefAtOrders, ordersGet, "7")))

	fmt.Println("A stream by a token for eggs alone, of two seconds:")
	eggs := dial(cert, inventory, source, grpcauth.ClientOptions{
		Lifetimes: map[string]time.Duration{stockWatch: 2 * time.Second},
		Caveats: func(context.Context, string) ([]macaroon.Caveat, error) {
			return []macaroon.Caveat{caveat.Resources("items/eggs")}, nil
		},
	})
	stream := must(watch(ctx, eggs))
	report("eggs", exchange(stream, "eggs"))
	report("ham", exchange(stream, "ham"))
	stream = must(watch(ctx, eggs))
	report("eggs again", exchange(stream, "eggs"))
	report("then nothing", last(stream.Recv()))
}

// serve starts a service that auth protects, and gives its address.
func serve(cert tls.Certificate, keys *rootkey.Keyring, audience string, options grpcauth.Options, register func(*grpc.Server)) string {
	v := must(verifier.New(keys, audience, verifier.Options{}))
	auth := must(grpcauth.New(v, options))
	server := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(credentials.NewServerTLSFromCert(&cert)))...)
	register(server)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	go func() { log.Fatal(server.Serve(listener)) }()
	return listener.Addr().String()
}

// dial gives a connection to a service, with tokens from a source if there is one.
func dial(cert tls.Certificate, address string, source client.Source, options grpcauth.ClientOptions) *grpc.ClientConn {
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	dialing := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, ""))}
	if source != nil {
		dialing = append(dialing, must(grpcauth.NewCredentials([]string{"https://" + address}, source, options)).DialOptions()...)
	}
	return must(grpc.NewClient(address, dialing...))
}

func subject(ctx context.Context) string {
	who, found := grpcauth.FromContext(ctx)
	if !found {
		return "nobody"
	}
	return who.Subject()
}

// exchange sends a message and waits for the answer.
func exchange(stream *watchClient, item string) error {
	if err := stream.Send(wrapperspb.String(item)); err != nil && err != io.EOF { // then the answer says why
		return err
	}
	_, err := stream.Recv()
	return err
}

// report prints what became of a call.
func report(what string, err error) {
	answer := "yes"
	if s := status.Convert(err); err != nil {
		answer = "no: " + s.Code().String()
		for _, detail := range s.Details() {
			if info, ok := detail.(*errdetails.ErrorInfo); ok {
				answer += ", " + info.GetReason()
			}
		}
	}
	fmt.Printf("  %-20s%s\n", what, answer)
}

// certificate makes one for the servers of this program.
func certificate() tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

func last[T any](_ T, err error) error { return err }

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
