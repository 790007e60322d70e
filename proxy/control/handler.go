package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Handler serves p on the wire that Client speaks. A caller that hangs up ends
// the ctx of its call. Rubbish gets 400 and changes nothing.
func Handler(p Proxy) http.Handler {
	mux := http.NewServeMux()
	handle(mux, "deploy", func(ctx context.Context, s Service) (any, error) {
		return nil, p.Deploy(ctx, s)
	})
	handle(mux, "drain", func(ctx context.Context, r drainRequest) (any, error) {
		return nil, p.Drain(ctx, r.Service, r.Budget)
	})
	handle(mux, "remove", func(ctx context.Context, r nameRequest) (any, error) {
		return nil, p.Remove(ctx, r.Service)
	})
	handle(mux, "pause", func(ctx context.Context, r pauseRequest) (any, error) {
		return nil, p.Pause(ctx, r.Service, r.Limit)
	})
	handle(mux, "resume", func(ctx context.Context, r nameRequest) (any, error) {
		return nil, p.Resume(ctx, r.Service)
	})
	handle(mux, "services", func(ctx context.Context, _ struct{}) (any, error) {
		list, err := p.Services(ctx)
		return list, err
	})
	handle(mux, "certificates", func(ctx context.Context, _ struct{}) (any, error) {
		list, err := p.Certificates(ctx)
		return list, err
	})
	handle(mux, "setcertificate", func(ctx context.Context, r certificateRequest) (any, error) {
		return nil, p.SetCertificate(ctx, r.Host, r.Chain, r.Key)
	})
	handle(mux, "deletecertificate", func(ctx context.Context, r hostRequest) (any, error) {
		return nil, p.DeleteCertificate(ctx, r.Host)
	})
	handle(mux, "traffic", func(ctx context.Context, r trafficRequest) (any, error) {
		report, err := p.Traffic(ctx, r.Mark, r.Wait)
		return report, err
	})
	if o, ok := p.(interface{ HandOver(context.Context) error }); ok {
		handle(mux, "handover", func(ctx context.Context, _ struct{}) (any, error) {
			return nil, o.HandOver(ctx)
		})
	}
	return mux
}

// Changes tells whether a request to Handler may change what is served, or waits for what
// is served to change.
func Changes(r *http.Request) bool {
	switch r.URL.Path {
	case "/v1/deploy", "/v1/remove", "/v1/setcertificate", "/v1/deletecertificate":
		return true
	}
	return false
}

// handle mounts one method: decode, call, answer. A result of nil is "{}".
func handle[T any](mux *http.ServeMux, name string, f func(context.Context, T) (any, error)) {
	mux.HandleFunc("POST /v1/"+name, func(w http.ResponseWriter, r *http.Request) {
		var request T
		if err := decode(http.MaxBytesReader(w, r.Body, MaxBody), &request); err != nil {
			answer(w, http.StatusBadRequest, failure{Error: err.Error(), Invalid: true})
			return
		}
		result, err := f(r.Context(), request)
		if err != nil {
			fail(w, err)
			return
		}
		if result == nil {
			result = struct{}{}
		}
		answer(w, http.StatusOK, result)
	})
}

// decode reads exactly one JSON value without unknown fields, so that a daemon
// newer than the proxy learns at once that it asked for something unknown.
func decode(r io.Reader, v any) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("reading the request: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("reading the request: more than one JSON value")
	}
	return nil
}

func fail(w http.ResponseWriter, err error) {
	f := failure{Error: err.Error()}
	status := http.StatusInternalServerError
	var invalid *Invalid
	var absent *NotFound
	switch {
	case errors.As(err, &absent):
		f.NotFound, status = true, http.StatusNotFound
	case errors.As(err, &f.NotReady):
		status = http.StatusBadGateway
	case errors.As(err, &invalid):
		f.Invalid, status = true, http.StatusBadRequest
	}
	answer(w, status, f)
}

func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":"answer does not encode"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A caller that hung up has no use for the answer.
	_, _ = w.Write(append(text, '\n'))
}
