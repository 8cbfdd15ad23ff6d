package grpcauth_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/amaretti-go/amaretti/caveat"
	"github.com/amaretti-go/amaretti/macaroon"
	"github.com/amaretti-go/amaretti/verifier"
	"github.com/amaretti-go/amaretti/verifier/grpcauth"
)

// TestFactsOnTheWire: each caveat is checked against what the server knows of the call.
func TestFactsOnTheWire(t *testing.T) {
	tcp := newService(t, setup{tls: true, tcp: true, options: grpcauth.Options{Hosts: []string{host, "::1"}}})
	buffer := newService(t, setup{})
	leaf := tcp.clientTLS.Certificates[0].Leaf
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	call := func(s *service, c macaroon.Caveat, options ...grpc.CallOption) error {
		_, err := pb.NewTestServiceClient(s.conn).UnaryCall(s.with(s.bearer(c)), &pb.SimpleRequest{}, options...)
		return err
	}
	for name, c := range map[string]macaroon.Caveat{
		"address":     caveat.ClientIPs(loopback),
		"certificate": caveat.PeerCertificate(leaf),
		"key":         caveat.PeerKey(leaf),
		"host":        caveat.Hosts(host),
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, call(tcp, c))
			require.Equal(t, denied, answerOf(t, call(buffer, c)))
		})
	}
	require.Equal(t, denied, answerOf(t, call(tcp, caveat.ClientIPs(netip.MustParsePrefix("10.0.0.0/8")))))
	// An authority that is not on the list is none, whatever the certificate says.
	require.Equal(t, denied, answerOf(t, call(tcp, caveat.Hosts("other.internal"), grpc.CallAuthority("other.internal"))))
	require.NoError(t, call(tcp, caveat.Hosts(host), grpc.CallAuthority(host+":443")))
	require.Equal(t, denied, answerOf(t, call(tcp, caveat.Hosts(host), grpc.CallAuthority("Orders.internal"))))
	// The client says what it likes.
	ctx := metadata.AppendToOutgoingContext(buffer.with(buffer.bearer(caveat.ClientIPs(loopback))), "x-forwarded-for", "127.0.0.1", "x-real-ip", "127.0.0.1")
	_, err := buffer.unary(ctx)
	require.Equal(t, denied, answerOf(t, err))
}

// TestSeveralAuthorities: whatever transport lets more than one through, none of them is a fact.
func TestSeveralAuthorities(t *testing.T) {
	s := newService(t, setup{options: grpcauth.Options{Hosts: []string{host, "other.internal"}}})
	token := s.bearer(caveat.Hosts(host, "other.internal"))
	for _, row := range []struct {
		authorities []string
		want        answer
	}{
		{nil, denied},
		{[]string{host}, answer{}},
		{[]string{"evil.internal"}, denied},
		{[]string{host, host}, denied},
		{[]string{host, "other.internal"}, denied},
		{[]string{host, "evil.internal"}, denied},
		{[]string{"evil.internal", host}, denied},
		{[]string{"", host}, denied},
		{[]string{host + "," + host}, denied},
	} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.MD{"authorization": {token}, ":authority": row.authorities})
		_, err := s.auth.Check(ctx, operation)
		if row.want == (answer{}) {
			require.NoError(t, err)
		} else {
			require.Equal(t, row.want, answerOf(t, err), row.authorities)
		}
	}
}

// TestPeers: addresses as other transports have them.
func TestPeers(t *testing.T) {
	s := newService(t, setup{})
	for _, row := range []struct {
		name string
		addr net.Addr
		want string // prefix that holds, or none
	}{
		{"IPv4", &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, "192.0.2.1/32"},
		{"IPv4 in IPv6", &net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 1}, "192.0.2.1/32"},
		{"IPv6", &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 1}, "2001:db8::1/128"},
		{"text", textAddr{"tcp", "192.0.2.1:1"}, "192.0.2.1/32"},
		{"text with a zone", textAddr{"tcp", "[fe80::1%eth0]:1"}, ""},
		{"zone", &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}, ""},
		{"Unix", &net.UnixAddr{Net: "unix", Name: "192.0.2.1:1"}, ""},
		{"text of another network", textAddr{"bufconn", "192.0.2.1:1"}, ""},
		{"nil", nil, ""},
		{"nil TCP", (*net.TCPAddr)(nil), ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, prefix := range []string{"192.0.2.1/32", "2001:db8::1/128", "fe80::1/128"} {
				ctx := peer.NewContext(t.Context(), &peer.Peer{Addr: row.addr})
				ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", s.bearer(caveat.ClientIPs(netip.MustParsePrefix(prefix)))))
				_, err := s.auth.Check(ctx, operation)
				if prefix == row.want {
					require.NoError(t, err)
				} else {
					require.Equal(t, denied, answerOf(t, err))
				}
			}
		})
	}
}

// TestUnverifiedCertificate: what the handshake did not verify is anybody's.
func TestUnverifiedCertificate(t *testing.T) {
	s := newService(t, setup{tls: true})
	leaf := s.clientTLS.Certificates[0].Leaf
	state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}
	check := func(state tls.ConnectionState) error {
		ctx := peer.NewContext(t.Context(), &peer.Peer{AuthInfo: credentials.TLSInfo{State: state}})
		ctx = metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", s.bearer(caveat.PeerCertificate(leaf))))
		_, err := s.auth.Check(ctx, operation)
		return err
	}
	require.Equal(t, denied, answerOf(t, check(state)))
	state.VerifiedChains = [][]*x509.Certificate{{}}
	require.Equal(t, denied, answerOf(t, check(state)))
	state.VerifiedChains = [][]*x509.Certificate{{leaf}}
	require.NoError(t, check(state))
}

type textAddr struct{ network, text string }

func (a textAddr) Network() string { return a.network }
func (a textAddr) String() string  { return a.text }

// TestApplicationsFacts: the application corrects and adds, only for authentic tokens.
func TestApplicationsFacts(t *testing.T) {
	var asked atomic.Int32
	s := newService(t, setup{options: grpcauth.Options{Facts: func(_ context.Context, method string, f caveat.Facts) caveat.Facts {
		asked.Add(1)
		require.Equal(t, method, f.GRPCMethod)
		f.Resource = "orders/7"
		return f
	}}})
	_, err := s.unary(s.with("Bearer abc"))
	require.Equal(t, invalid, answerOf(t, err))
	require.Zero(t, asked.Load())
	_, err = s.unary(s.with(s.bearer(caveat.Resources("orders/7"))))
	require.NoError(t, err)
	_, err = s.unary(s.with(s.bearer(caveat.Resources("orders/8"))))
	require.Equal(t, denied, answerOf(t, err))
	stream := s.open(s.with(s.bearer(caveat.Resources("orders/7"))))
	require.NoError(t, exchange(stream, "a"))
	require.EqualValues(t, 3, asked.Load())
}

// TestOperationFunction: it is asked about methods that are not in the table, once the
// token is authentic, and may not ask for everything.
func TestOperationFunction(t *testing.T) {
	var asked []string
	answers := map[string]string{
		pb.TestService_EmptyCall_FullMethodName: operation,
		"/grpc.testing.TestService/Any":         verifier.AnyOperation,
		"/grpc.testing.TestService/Two":         "orders.read orders.list",
	}
	s := newService(t, setup{
		options: grpcauth.Options{
			Operations: map[string]string{"/grpc.testing.TestService/UnaryCall": operation, "/grpc.health.v1.Health/*": "health.read"},
			Operation: func(_ context.Context, method string) string {
				asked = append(asked, method)
				if method == "/grpc.testing.TestService/Panics" {
					panic("panic-value-" + leak)
				}
				return answers[method]
			},
		},
		outside: []grpc.ServerOption{grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return nil })},
	})
	admin, err := s.keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations("*"))
	require.NoError(t, err)
	everything := "Bearer " + must(admin.Encode())
	call := func(method string, token ...string) error {
		stream, err := s.conn.NewStream(s.with(token...), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
		require.NoError(t, err)
		require.NoError(t, stream.CloseSend())
		return stream.RecvMsg(&pb.Empty{})
	}
	_, err = pb.NewTestServiceClient(s.conn).EmptyCall(s.with(everything), &pb.Empty{})
	require.NoError(t, err)
	require.Equal(t, []string{pb.TestService_EmptyCall_FullMethodName}, asked)
	_, err = s.unary(s.with(everything))
	require.NoError(t, err)
	_, err = healthpb.NewHealthClient(s.conn).Check(s.with(s.bearer()), &healthpb.HealthCheckRequest{})
	require.Equal(t, denied, answerOf(t, err))
	require.Len(t, asked, 1)

	asked = nil
	for _, method := range []string{"/grpc.testing.TestService/Any", "/grpc.testing.TestService/Two", "/grpc.testing.TestService/Nobody", "/grpc.testing.TestService/*", "/grpc.health.v1.Health/Any"} {
		require.Equal(t, required, answerOf(t, call(method)), method)
		err := call(method, everything)
		if method == "/grpc.health.v1.Health/Any" {
			require.EqualError(t, err, "EOF")
			continue
		}
		require.Equal(t, denied, answerOf(t, err), method)
	}
	require.Len(t, asked, 4)
	require.Equal(t, undecided, answerOf(t, call("/grpc.testing.TestService/Panics", everything)))
	require.Contains(t, s.log.String(), "grpcauth: panic")
	require.NotContains(t, s.log.String(), "panic-value")

	// Methods that only look like one of the table, or like one that there is an answer for.
	asked = nil
	for _, method := range []string{
		"//grpc.testing.TestService/UnaryCall", "/evil/grpc.testing.TestService/UnaryCall", "/grpc.testing.TestService/UnaryCall/",
		"/grpc.testing.TestService//UnaryCall", "/GRPC.testing.TestService/UnaryCall", "/grpc.testing.TestService/UnaryCall%2F",
		"/evil/grpc.testing.TestService/EmptyCall", "/grpc.health.v1.Health/a/Check",
	} {
		require.Equal(t, denied, answerOf(t, call(method, everything)), method)
	}
	require.Equal(t, []string{"/GRPC.testing.TestService/UnaryCall", "/grpc.testing.TestService/UnaryCall%2F"}, asked)
}

// TestForgedTokensReachNoFunction: a token that can be read and that nobody signed is no
// reason to ask the application anything.
func TestForgedTokensReachNoFunction(t *testing.T) {
	var asked atomic.Int32
	extract := func(any) (string, string) { asked.Add(1); return operation, "" }
	s := newService(t, setup{options: grpcauth.Options{
		Operation: func(context.Context, string) string { asked.Add(1); return operation },
		Facts:     func(_ context.Context, _ string, f caveat.Facts) caveat.Facts { asked.Add(1); return f },
		Messages: map[string]grpcauth.Extractor{
			pb.TestService_UnaryCall_FullMethodName:      extract,
			pb.TestService_FullDuplexCall_FullMethodName: extract,
		},
	}})
	data := must(s.mint().MarshalBinary())
	data[len(data)-1] ^= 1
	forged := "Bearer " + base64.RawURLEncoding.EncodeToString(data)

	_, err := s.unary(s.with(forged))
	require.Equal(t, invalid, answerOf(t, err))
	require.Equal(t, invalid, answerOf(t, exchange(s.open(s.with(forged)), "orders/7")))
	_, err = s.auth.Check(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", forged)), operation)
	require.Equal(t, invalid, answerOf(t, err))
	require.Zero(t, asked.Load())

	_, err = s.unary(s.with(s.bearer()))
	require.NoError(t, err)
	require.EqualValues(t, 3, asked.Load())
}

func TestNew(t *testing.T) {
	_, err := grpcauth.New(nil, grpcauth.Options{
		Operations:   map[string]string{"UnaryCall": operation, "/a.B/C": verifier.AnyOperation, "/a.B/D": operation, "/a/*/c": ""},
		Public:       []string{"/a.B/*", "/a.B/D", "/a.B/E"},
		Messages:     map[string]grpcauth.Extractor{"/a.B/F": nil, "/a.B/E": grpcauth.Extract(func(*pb.Empty) (string, string) { return "", "" }), "/a.B/*": nil},
		Hosts:        []string{"Orders"},
		RecheckEvery: -1,
	})
	for _, problem := range []string{"no verifier", `"UnaryCall"`, `"/a.B/C"`, `"/a/*/c"`, `public: "/a.B/*"`, `public: "/a.B/D"`,
		`messages: "/a.B/F": nil`, `messages: "/a.B/E": it is public`, `messages: "/a.B/*"`, "host", "RecheckEvery"} {
		require.ErrorContains(t, err, problem)
	}

	// Whatever calls the interceptor, a method of another form is one that nobody listed.
	s := newService(t, setup{options: grpcauth.Options{Operation: func(context.Context, string) string { return operation }}})
	for _, method := range []string{"", "/", "UnaryCall", "/UnaryCall", "grpc.testing.TestService/UnaryCall", "a/b/c"} {
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", s.bearer()))
		_, err = s.auth.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, nil)
		require.Equal(t, denied, answerOf(t, err), method)
	}

	var zero grpcauth.Auth
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer x"))
	_, err = zero.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: "/a.B/C"}, nil)
	require.Equal(t, undecided, answerOf(t, err))
	require.Len(t, zero.ServerOptions(), 3)
	_, err = zero.Check(t.Context(), operation)
	require.Equal(t, undecided, answerOf(t, err))
	_, found := grpcauth.FromContext(t.Context())
	require.False(t, found)
}

func TestCovers(t *testing.T) {
	s := newService(t, setup{options: grpcauth.Options{
		Operations: map[string]string{"/grpc.testing.TestService/*": operation, "/grpc.testing.TestServices/*": operation, "/grpc.health.v1.Health/Watch": "health.watch"},
		Public:     []string{"/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/check"},
		Messages:   map[string]grpcauth.Extractor{"/grpc.testing.TestService/Call": func(any) (string, string) { return "", "" }},
	}})
	services := s.server.GetServiceInfo()
	err := s.auth.Covers(services)
	var problems []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		problems = append(problems, strings.TrimPrefix(line, "grpcauth: "))
	}
	require.ElementsMatch(t, []string{
		"/grpc.health.v1.Health/List: no operation",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo: no operation",
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo: no operation",
		"/grpc.testing.TestServices/*: the server has no such method",
		"/grpc.health.v1.Health/check: the server has no such method",
		"/grpc.testing.TestService/Call: the server has no such method",
	}, problems)

	auth, err := grpcauth.New(s.verifier, grpcauth.Options{Operation: func(context.Context, string) string { return operation }})
	require.NoError(t, err)
	require.NoError(t, auth.Covers(services))
}

// TestOptionsAreCopied: what the caller changes later changes nothing.
func TestOptionsAreCopied(t *testing.T) {
	operations := map[string]string{"/grpc.testing.TestService/EmptyCall": operation}
	public := []string{"/grpc.testing.TestService/EmptyCall"}
	public[0] = "/grpc.testing.TestService/UnimplementedCall"
	messages, hosts := map[string]grpcauth.Extractor{}, []string{host}
	s := newService(t, setup{options: grpcauth.Options{Operations: operations, Public: public, Messages: messages, Hosts: hosts}})
	operations["/grpc.testing.TestService/UnaryCall"] = operation
	public[0] = "/grpc.testing.TestService/UnaryCall"
	messages["/grpc.testing.TestService/EmptyCall"] = func(any) (string, string) { return "", "" }
	hosts[0] = "other.internal"
	_, err := s.unary(s.with())
	require.Equal(t, required, answerOf(t, err))
	_, err = s.unary(s.with(s.bearer()))
	require.Equal(t, denied, answerOf(t, err))
	_, err = pb.NewTestServiceClient(s.conn).EmptyCall(s.with(s.bearer(caveat.Hosts(host))), &pb.Empty{})
	require.NoError(t, err)
}

// TestCheck: a handler decides on something else, and answers with what it is told.
func TestCheck(t *testing.T) {
	for _, facts := range []func(context.Context, string, caveat.Facts) caveat.Facts{nil, func(_ context.Context, _ string, f caveat.Facts) caveat.Facts { return f }} {
		s := newService(t, setup{options: grpcauth.Options{Facts: facts}})
		s.handler.unary = func(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
			v, err := s.auth.Check(ctx, "orders.write")
			if err != nil {
				return nil, err
			}
			return &pb.SimpleResponse{Username: v.Subject()}, nil
		}
		got, err := s.unary(s.with(s.bearer(caveat.GRPCMethods(pb.TestService_UnaryCall_FullMethodName))))
		require.NoError(t, err)
		require.Equal(t, "billing", got)
		_, err = s.unary(s.with(s.bearer(caveat.Operations(operation))))
		require.Equal(t, denied, answerOf(t, err))
		require.Len(t, s.audited(), 4)
	}
}

// TestUnaryMessage: the message of a unary call is decided on too.
func TestUnaryMessage(t *testing.T) {
	s := newService(t, setup{options: grpcauth.Options{Messages: map[string]grpcauth.Extractor{
		pb.TestService_UnaryCall_FullMethodName: grpcauth.Extract(func(m *pb.SimpleRequest) (string, string) {
			switch {
			case m.GetFillUsername():
				panic("panic-value-" + leak)
			case m.GetFillOauthScope():
				return verifier.AnyOperation, ""
			}
			return operation, string(m.GetPayload().GetBody())
		}),
		pb.TestService_EmptyCall_FullMethodName: grpcauth.Extract(func(*pb.SimpleRequest) (string, string) { return operation, "" }),
	}}})
	c := pb.NewTestServiceClient(s.conn)
	token := s.bearer(caveat.Resources("orders/7"))
	for _, row := range []struct {
		message *pb.SimpleRequest
		want    answer
	}{
		{&pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("orders/7")}}, answer{}},
		{&pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("orders/8")}}, denied},
		{&pb.SimpleRequest{}, denied},
		{&pb.SimpleRequest{FillUsername: true}, undecided},
	} {
		_, err := c.UnaryCall(s.with(token), row.message)
		if row.want == (answer{}) {
			require.NoError(t, err)
		} else {
			require.Equal(t, row.want, answerOf(t, err))
		}
		require.Len(t, s.audited(), 1)
	}
	_, err := c.EmptyCall(s.with(s.bearer()), &pb.Empty{}) // a message of another type
	require.Equal(t, denied, answerOf(t, err))
	admin, err := s.keys.Mint(t.Context(), macaroon.Grant{}, caveat.ExpiresIn(time.Hour), caveat.Audience(audience), caveat.Operations("*"))
	require.NoError(t, err)
	_, err = c.UnaryCall(s.with("Bearer "+must(admin.Encode())), &pb.SimpleRequest{FillOauthScope: true})
	require.Equal(t, denied, answerOf(t, err)) // no message asks for everything
	require.NotContains(t, s.log.String(), "panic-value")
}

// TestMessageWithoutResource: what the application knows of the call is not what its message
// is about.
func TestMessageWithoutResource(t *testing.T) {
	s := newService(t, setup{options: grpcauth.Options{
		Facts: func(_ context.Context, _ string, f caveat.Facts) caveat.Facts {
			f.Resource = "orders/7"
			return f
		},
		Messages: map[string]grpcauth.Extractor{
			pb.TestService_EmptyCall_FullMethodName: grpcauth.Extract(func(*pb.Empty) (string, string) { return operation, "" }),
		},
	}})
	c := pb.NewTestServiceClient(s.conn)
	token := s.bearer(caveat.Resources("orders/7"))
	_, err := c.EmptyCall(s.with(token), &pb.Empty{})
	require.Equal(t, denied, answerOf(t, err))
	_, err = c.UnaryCall(s.with(token), &pb.SimpleRequest{})
	require.NoError(t, err)
}

// TestSourceFails: not knowing is not refusing.
func TestSourceFails(t *testing.T) {
	s := newService(t, setup{})
	token := s.bearer()
	s.source.panics = true
	_, err := s.unary(s.with(token))
	require.Equal(t, undecided, answerOf(t, err))
	_, err = s.open(s.with(token)).Recv()
	require.Equal(t, undecided, answerOf(t, err))
	require.NotContains(t, s.log.String(), "panic-value")
}

// TestRefusalsNameTheOperation: the audit record of a token that proves nothing says what was
// asked for, also where the application has something to add.
func TestRefusalsNameTheOperation(t *testing.T) {
	other := newService(t, setup{})
	for name, options := range map[string]grpcauth.Options{
		"nothing": {},
		"facts":   {Facts: func(_ context.Context, _ string, facts caveat.Facts) caveat.Facts { return facts }},
		"messages": {Operations: table, Messages: map[string]grpcauth.Extractor{
			pb.TestService_UnaryCall_FullMethodName: grpcauth.Extract(func(*pb.SimpleRequest) (string, string) { return "orders.write", "" })}},
	} {
		s := newService(t, setup{options: options})
		ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", other.bearer()))
		_, err := s.unary(s.with(other.bearer()))
		require.Equal(t, invalid, answerOf(t, err), name)
		_, err = s.open(s.with(other.bearer())).Recv()
		require.Equal(t, invalid, answerOf(t, err), name)
		_, err = s.auth.Check(ctx, operation)
		require.Equal(t, invalid, answerOf(t, err), name)
		records := s.audited()
		require.Len(t, records, 3, name)
		for _, r := range records {
			require.Equal(t, operation, r.Operation, name)
		}
	}
}

// TestRecordsTellTheCall: every record tells what was called and from where, whatever came of it
// and whenever the operation was known.
func TestRecordsTellTheCall(t *testing.T) {
	const unary, duplex = pb.TestService_UnaryCall_FullMethodName, pb.TestService_FullDuplexCall_FullMethodName
	extract := func(any) (string, string) { return operation, "" }
	for name, options := range map[string]grpcauth.Options{
		"listed":   {},
		"import":   {Import: true},
		"lnd":      {LND: true},
		"forward":  {Forward: true},
		"asked":    {Operation: func(context.Context, string) string { return operation }},
		"facts":    {Facts: func(_ context.Context, _ string, f caveat.Facts) caveat.Facts { return f }},
		"messages": {Operations: table, Messages: map[string]grpcauth.Extractor{unary: extract, duplex: extract}},
		"panics":   {Facts: func(context.Context, string, caveat.Facts) caveat.Facts { panic(leak) }},
	} {
		t.Run(name, func(t *testing.T) {
			s := newService(t, setup{options: options, tcp: true})
			for what, authorization := range map[string][]string{
				"nothing": nil, "two": {s.bearer(), s.bearer()}, "a password": {"Basic eDp5"}, "not a token": {"Bearer x"},
				"too long": {"Bearer " + strings.Repeat("A", 20<<10)}, "a stranger's": {strange(t)},
				"denied": {s.bearer(caveat.GRPCMethods("/x.Y/Z"))}, "good": {s.bearer()},
			} {
				_, _ = s.unary(s.with(authorization...))
				stream := s.open(s.with(authorization...))
				_ = exchange(stream, "orders/7")
				records := s.audited()
				require.Len(t, records, 2, what)
				for i, method := range []string{unary, duplex} {
					require.Equal(t, method, records[i].Method, what)
					require.Equal(t, "127.0.0.1", records[i].ClientIP.String(), what)
				}
			}
		})
	}
}
