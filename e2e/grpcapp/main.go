// Grpcapp is the gRPC app of a story, and its client. Messages are StringValues, so that
// there is no generated code.
//
//	grpcapp serve                                  serves on $PORT; ready once its health service says so
//	grpcapp call HOST:PORT NAME ROOT METHOD TEXT   prints what the method of the app at NAME answers, one
//	                                               message a line; ROOT is the file of the CA's certificate
//
// Methods: /greeter/Hello answers once, /greeter/Count three times, /greeter/Crash never.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// patience bounds a call.
const patience = time.Minute

func main() {
	err := errors.New("usage: grpcapp serve, or grpcapp call HOST:PORT NAME ROOT METHOD TEXT")
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	case len(os.Args) == 7 && os.Args[1] == "call":
		err = call(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "grpcapp:", err)
		os.Exit(1)
	}
}

func serve() error {
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	l, err := net.Listen("tcp", ":"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.UnknownServiceHandler(answer))
	checks := health.NewServer()
	checks.SetServingStatus("", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	grpc_health_v1.RegisterHealthServer(server, checks)
	time.AfterFunc(100*time.Millisecond, func() {
		fmt.Println("grpcapp is ready")
		checks.SetServingStatus("", grpc_health_v1.HealthCheckResponse_SERVING)
	})
	context.AfterFunc(stop, server.GracefulStop)
	return server.Serve(l)
}

func answer(_ any, stream grpc.ServerStream) error {
	var name wrapperspb.StringValue
	if err := stream.RecvMsg(&name); err != nil {
		return err
	}
	say := func(text string) error { return stream.SendMsg(wrapperspb.String(text)) }
	switch method, _ := grpc.Method(stream.Context()); method {
	case "/greeter/Hello":
		return say(fmt.Sprintf("hello %s, from release %s", name.Value, os.Getenv("TOWLINE_RELEASE")))
	case "/greeter/Count":
		for i := range 3 {
			if err := say(fmt.Sprintf("%d: %s", i+1, name.Value)); err != nil {
				return err
			}
		}
		return nil
	case "/greeter/Crash":
		os.Exit(1)
	}
	return status.Error(codes.Unimplemented, "there is no such method")
}

func call(address, name, root, method, text string) error {
	tls, err := credentials.NewClientTLSFromFile(root, name)
	if err != nil {
		return err
	}
	c, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(tls), grpc.WithAuthority(name))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	stream, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return err
	}
	if err := errors.Join(stream.SendMsg(wrapperspb.String(text)), stream.CloseSend()); err != nil {
		return err
	}
	for {
		var answer wrapperspb.StringValue
		if err := stream.RecvMsg(&answer); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		fmt.Println(answer.Value)
	}
}
