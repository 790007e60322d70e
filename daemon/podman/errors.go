package podman

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/containers/podman/v5/pkg/errorhandling"

	"towline/daemon"
)

// wrap sorts an error of the bindings. what names the object and the attempt. The
// text of Podman's own answers is kept; that of others is not, for the bindings
// quote whole answers, environments included, when they cannot read one.
func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, errLate) {
		return errLate
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return daemon.Errorf(daemon.Failed, "%s: %w", what, contextCause(err))
	}
	if code, ok := status(err); ok {
		switch code {
		case http.StatusNotFound:
			return daemon.Errorf(daemon.NotFound, "%s: %w", what, err)
		case http.StatusConflict:
			return daemon.Errorf(daemon.Conflict, "%s: %w", what, err)
		}
		if contains(err, "name is already in use", "name already in use", "already exists") {
			return daemon.Errorf(daemon.Exists, "%s: %w", what, err)
		}
		if contains(err, "container state improper", "network is being used") {
			return daemon.Errorf(daemon.Conflict, "%s: %w", what, err)
		}
		// A container is gone by its ID between the look at its name and at itself: 500 until 5.0.
		if contains(err, "image not known", "no such container") {
			return daemon.Errorf(daemon.NotFound, "%s: %w", what, err)
		}
		return daemon.Errorf(daemon.Failed, "%s: %w", what, err)
	}
	if unreachable(err) {
		return unavailable(err)
	}
	var known *daemon.Error
	if errors.As(err, &known) {
		return err
	}
	if contains(err, "unmarshalling") {
		return daemon.Errorf(daemon.Failed, "%s: podman's answer makes no sense", what)
	}
	return daemon.Errorf(daemon.Failed, "%s: %w", what, err)
}

func contextCause(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return context.Canceled
}

// status is the HTTP status that Podman answered with.
func status(err error) (int, bool) {
	var model *errorhandling.ErrorModel
	if errors.As(err, &model) {
		return model.ResponseCode, true
	}
	var conflict *errorhandling.PodConflictErrorModel
	if errors.As(err, &conflict) {
		return http.StatusConflict, true
	}
	return 0, false
}

func absent(err error) bool {
	code, ok := status(err)
	return ok && (code == http.StatusNotFound || code == http.StatusInternalServerError && contains(err, "no such container"))
}

// contains tells whether Podman's message has one of texts: before 5.0 it answers
// 500 to much that has a status of its own elsewhere.
func contains(err error, texts ...string) bool {
	for _, text := range texts {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// unreachable tells whether the service, not the request, is the trouble.
func unreachable(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func unavailable(err error) error {
	return daemon.Errorf(daemon.Unavailable, "podman does not answer: %w", err).
		WithHint("see: systemctl status podman.socket")
}
