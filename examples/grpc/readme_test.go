//lint:file-ignore SA4006 README leaves out what every caller does about an error.

package main

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/amaretti-go/amaretti/macaroon/client"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// What README shows of gRPC. A test in the folder above holds the one to the other; here it is
// only compiled.
var _, _ = readme, readmeOfClients

func readme(v *verifier.Verifier, tls credentials.TransportCredentials) (*grpc.Server, error) {
	auth, err := grpcauth.New(v, grpcauth.Options{Operations: map[string]string{"/shop.Orders/Get": "orders.read"}})
	server := grpc.NewServer(append(auth.ServerOptions(), grpc.Creds(tls))...)
	return server, err
}

func readmeOfClients(source client.Source, tls credentials.TransportCredentials) (*grpc.ClientConn, error) {
	creds, err := grpcauth.NewCredentials([]string{"https://orders.internal"}, source, grpcauth.ClientOptions{})
	conn, err := grpc.NewClient("orders.internal:443", append(creds.DialOptions(), grpc.WithTransportCredentials(tls))...)
	return conn, err
}
