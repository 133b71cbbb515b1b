package conformance

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const grpcPatience = 30 * time.Second

// rawCodec passes messages as bytes, so that no generated code is needed.
type rawCodec struct{}

func (rawCodec) Name() string { return "raw" }

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// serveCall answers all methods: "Echo" sends back each message as it comes, "Count" sends as many as the first says,
// "Fail" ends with a status, "Wait" ends when its client leaves.
func serveCall(left chan<- struct{}) grpc.StreamHandler {
	return func(_ any, stream grpc.ServerStream) error {
		method, _ := grpc.MethodFromServerStream(stream)
		given, _ := metadata.FromIncomingContext(stream.Context())
		stream.SetTrailer(metadata.Pairs("seen", strings.Join(given.Get("told"), ",")))
		switch method {
		case "/test.Site/Fail":
			return status.Error(codes.FailedPrecondition, "not today")
		case "/test.Site/Wait":
			<-stream.Context().Done()
			left <- struct{}{}
			return stream.Context().Err()
		}
		for {
			var message []byte
			if err := stream.RecvMsg(&message); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			count := 1
			if method == "/test.Site/Count" {
				_, _ = fmt.Sscan(string(message), &count)
			}
			for range count {
				if err := stream.SendMsg(&message); err != nil {
					return err
				}
			}
		}
	}
}

const secureRoute = plainRoute + `        serversTransport: t
  serversTransports:
    t:
      insecureSkipVerify: true
`

// certificate makes one that is signed by itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// eachScheme runs the test with a server without TLS, by prior knowledge, and with one that chooses HTTP/2.
func eachScheme(t *testing.T, test func(t *testing.T, scheme string)) {
	for _, scheme := range []string{"h2c", "https"} {
		t.Run(scheme, func(t *testing.T) { test(t, scheme) })
	}
}

// startGRPC runs a server behind the proxy and returns a connection to the proxy.
func startGRPC(t *testing.T, scheme string, left chan<- struct{}) (*grpc.ClientConn, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	route, options := plainRoute, []grpc.ServerOption{grpc.ForceServerCodec(rawCodec{}), grpc.UnknownServiceHandler(serveCall(left))}
	if scheme == "https" {
		route = secureRoute
		own := certificate(t)
		options = append(options, grpc.Creds(credentials.NewServerTLSFromCert(&own)))
	}
	server := grpc.NewServer(options...)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)

	directory := t.TempDir()
	address := freeAddress(t)
	writeFile(t, filepath.Join(directory, "static.yml"), fmt.Sprintf(plainConfiguration, address))
	writeFile(t, filepath.Join(directory, "dynamic.yml"), fmt.Sprintf(route, scheme+"://"+listener.Addr().String()))
	runProxy(t, directory, address)
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawCodec{}), grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	return connection, server
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), grpcPatience)
	t.Cleanup(cancel)
	return ctx
}

// unary tries until the route is in effect.
func unary(t *testing.T, connection *grpc.ClientConn, method string, in []byte, options ...grpc.CallOption) ([]byte, error) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(patience(t), "told", "a value")
	for {
		var out []byte
		err := connection.Invoke(ctx, "/test.Site/"+method, &in, &out, options...)
		if status.Code(err) == codes.Unimplemented && ctx.Err() == nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		return out, err
	}
}

func TestGRPCUnary(t *testing.T) { eachScheme(t, unaryCalls) }

func unaryCalls(t *testing.T, scheme string) {
	connection, _ := startGRPC(t, scheme, nil)
	for _, size := range []int{0, 1, 5000, 2000000} {
		in := bytes.Repeat([]byte("x"), size)
		var trailer metadata.MD
		out, err := unary(t, connection, "Echo", in, grpc.Trailer(&trailer))
		if err != nil || !bytes.Equal(in, out) {
			t.Fatalf("%d bytes: %d came back, %v", size, len(out), err)
		}
		if seen := trailer.Get("seen"); len(seen) != 1 || seen[0] != "a value" {
			t.Errorf("trailers: %v", trailer)
		}
	}
	_, err := unary(t, connection, "Fail", nil)
	if status.Code(err) != codes.FailedPrecondition || status.Convert(err).Message() != "not today" {
		t.Errorf("found %v, expected FailedPrecondition", err)
	}
}

func TestGRPCStreams(t *testing.T) { eachScheme(t, streams) }

func streams(t *testing.T, scheme string) {
	connection, _ := startGRPC(t, scheme, nil)
	if _, err := unary(t, connection, "Echo", nil); err != nil {
		t.Fatal(err)
	}
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	stream, err := connection.NewStream(patience(t), both, "/test.Site/Echo")
	if err != nil {
		t.Fatal(err)
	}
	// Each message is answered before the next one is sent.
	for i := range 100 {
		in, out := []byte(fmt.Sprint("message ", i)), []byte(nil)
		if err := stream.SendMsg(&in); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&out); err != nil || !bytes.Equal(in, out) {
			t.Fatalf("message %d: %q, %v", i, out, err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	var out []byte
	if err := stream.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Fatalf("the end: %v", err)
	}

	stream, err = connection.NewStream(patience(t), both, "/test.Site/Count")
	if err != nil {
		t.Fatal(err)
	}
	in := []byte("20000")
	if err := stream.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	count := 0
	for ; err == nil; count++ {
		err = stream.RecvMsg(&out)
	}
	if count != 20001 || !errors.Is(err, io.EOF) {
		t.Errorf("%d messages, then %v", count-1, err)
	}
}

func TestGRPCClientsThatLeave(t *testing.T) { eachScheme(t, clientThatLeaves) }

func clientThatLeaves(t *testing.T, scheme string) {
	left := make(chan struct{}, 1)
	connection, _ := startGRPC(t, scheme, left)
	if _, err := unary(t, connection, "Echo", nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(patience(t))
	stream, err := connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Site/Wait")
	if err != nil {
		t.Fatal(err)
	}
	in := []byte("x")
	if err := stream.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, cancel)
	select {
	case <-left:
	case <-time.After(grpcPatience):
		t.Fatal("the server never learnt that the client left")
	}
}

// A server that shuts down says so first: no call is lost.
func TestGRPCServersThatLeave(t *testing.T) { eachScheme(t, serverThatLeaves) }

func serverThatLeaves(t *testing.T, scheme string) {
	connection, server := startGRPC(t, scheme, nil)
	if _, err := unary(t, connection, "Echo", nil); err != nil {
		t.Fatal(err)
	}
	stream, err := connection.NewStream(patience(t), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test.Site/Echo")
	if err != nil {
		t.Fatal(err)
	}
	in, out := []byte("x"), []byte(nil)
	if err := stream.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&out); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { server.GracefulStop(); close(stopped) }()
	// Until the listener is closed, then once more on the stream that is left.
	for deadline := time.Now().Add(grpcPatience); ; {
		var none []byte
		err := connection.Invoke(patience(t), "/test.Site/Echo", &in, &none)
		if status.Code(err) == codes.Unavailable {
			break
		}
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("found %v, expected Unavailable", err)
		}
	}
	if err := stream.SendMsg(&in); err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&out); err != nil {
		t.Fatal(err)
	}
	_ = stream.CloseSend()
	if err := stream.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Fatalf("the end: %v", err)
	}
	select {
	case <-stopped:
	case <-time.After(grpcPatience):
		t.Fatal("the server does not stop")
	}
}
