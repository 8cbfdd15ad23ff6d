package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	conditions "github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/macaroon/rootkey"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// What package grpcauth adds is measured beside the same without it, for a token of five caveats: its
// interceptor, called as a server does, beside the decision alone; and a call of a server over TLS that has the
// interceptor, beside one of a server that has not. The clients of both send the token.
const (
	grpcWork      = "grpc"
	grpcDecision  = "decision"
	grpcIntercept = "interceptor"
	grpcCall      = "call"
	grpcProtected = "protected call"

	maxInterceptor = 1.3              // times the decision,
	interceptorToo = time.Microsecond // and as much besides
	maxCall        = 1.1              // times the call without
)

// newGRPCCells sets up both servers, which run as long as the program.
func newGRPCCells(expiry time.Time) ([]*cell, error) {
	const method = healthpb.Health_Check_FullMethodName
	keys := rootkey.InMemory()
	token, err := keys.Mint(context.Background(), macaroon.Grant{Subject: subject}, conditions.ExpiresAt(expiry),
		conditions.Operations(operation, "orders.list"), conditions.Audience(audience), conditions.GRPCMethods(method), conditions.GRPCMethods("/grpc.health.v1.Health/*"))
	if err != nil {
		return nil, err
	}
	text, err := token.Encode()
	if err != nil {
		return nil, err
	}
	v, err := verifier.New(keys, audience, verifier.Options{})
	if err != nil {
		return nil, err
	}
	auth, err := grpcauth.New(v, grpcauth.Options{Operations: map[string]string{method: operation}})
	if err != nil {
		return nil, err
	}

	incoming := metadata.NewIncomingContext(context.Background(), metadata.Pairs("authorization", scheme+text,
		":authority", "orders.internal", "content-type", "application/grpc", "user-agent", "grpc-go/1.85.0"))
	info := &grpc.UnaryServerInfo{FullMethod: method}
	handler := func(ctx context.Context, _ any) (any, error) {
		who, _ := grpcauth.FromContext(ctx)
		return who.Subject(), nil
	}
	call, err := newCall(text)
	if err != nil {
		return nil, err
	}
	protected, err := newCall(text, auth.ServerOptions()...)
	if err != nil {
		return nil, err
	}
	newCell := func(who string, op func() error) *cell {
		return &cell{work: grpcWork, caveats: detailed, who: who, op: op}
	}
	rival := newCell(grpcCall, call)
	rival.turns = true
	called := newCell(grpcProtected, protected)
	called.rival = rival
	return []*cell{
		newCell(grpcDecision, func() error {
			_, err := v.VerifyText(context.Background(), text, operation, conditions.Facts{GRPCMethod: method})
			return err
		}),
		newCell(grpcIntercept, func() error {
			who, err := auth.Unary(incoming, nil, info, handler)
			if err == nil && who != subject {
				err = fmt.Errorf("subject is %q", who)
			}
			return err
		}),
		called,
		rival,
	}, nil
}

// newCall starts a server and gives a call of it.
func newCall(text string, options ...grpc.ServerOption) (func() error, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if cert.Leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer(append(options, grpc.Creds(credentials.NewServerTLSFromCert(&cert)))...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(listener)

	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewClientTLSFromCert(roots, "")))
	if err != nil {
		return nil, err
	}
	client := healthpb.NewHealthClient(conn)
	outgoing := metadata.AppendToOutgoingContext(context.Background(), "authorization", scheme+text)
	return func() error {
		_, err := client.Check(outgoing, &healthpb.HealthCheckRequest{})
		return err
	}, nil
}

// grpcTargets says whether what grpcauth adds is little.
func grpcTargets(results []result) (rows [][]string) {
	measured := func(who string) float64 {
		r, _ := find(results, grpcWork, detailed, who)
		return r.Nanoseconds
	}
	decision, interceptor, call, protected := measured(grpcDecision), measured(grpcIntercept), measured(grpcCall), measured(grpcProtected)
	if decision == 0 || call == 0 {
		return nil
	}
	most := maxInterceptor*decision + float64(interceptorToo)
	return [][]string{
		{"a gRPC interceptor, µs", fmt.Sprintf("%.2f", interceptor/1000), fmt.Sprintf("%.2f", most/1000), verdict(interceptor <= most)},
		{"a gRPC call with it, as a part of one without", fmt.Sprintf("%.3f", protected/call), fmt.Sprintf("%.2f", maxCall), verdict(protected <= maxCall*call)},
	}
}
