package control

import (
	"context"
	"errors"
	"net/http"
)

// ErrUnreachable is that jobd gave no answer: no socket, nobody behind it, no permission, or silence.
var ErrUnreachable = errors.New("cannot reach jobd")

// httpStatus gives the status of an answer. Clients go by the code; the status is for curl and its like.
func (c Code) httpStatus() int {
	switch c {
	case BadRequest:
		return http.StatusBadRequest
	case Denied:
		return http.StatusForbidden
	case NoSuchJob, NoProcess:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Timeout:
		return http.StatusRequestTimeout
	case Busy:
		return http.StatusTooManyRequests
	case Disabled, Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// ExitCode gives the exit code that jobctl ends with for an error of the client: 0 none, 1 refused, failed or timed out,
// 2 a bad request, 3 no such job, 4 jobd not reachable.
func ExitCode(err error) int {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e) && e.Code == BadRequest:
		return 2
	case errors.As(err, &e) && e.Code == NoSuchJob:
		return 3
	case errors.Is(err, ErrUnreachable):
		return 4
	}
	return 1
}

// asError gives every error a code. What the backend did not name is internal, and the end of a context is either the
// client's going or jobd's stopping.
func asError(err error) *Error {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(Timeout, "gave up before jobd could answer")
	case errors.Is(err, context.Canceled):
		return Errorf(Unavailable, "jobd is stopping")
	}
	return Errorf(Internal, "%s", err)
}
