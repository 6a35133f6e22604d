package control

import (
	"context"
	"net"
	"time"
)

// AskJob asks jobd over job.sock at path. An error is an *Error that jobd answered, or wraps ErrUnreachable, or is that of a
// context that was cancelled. Only the context bounds how long an answer may take.
func AskJob(ctx context.Context, path string, req JobRequest) (JobAnswer, error) {
	msg, err := req.format()
	if err != nil {
		return JobAnswer{}, Errorf(BadRequest, "%s", err)
	}
	c, err := dialUnix(ctx, "unixpacket", path)
	if err != nil {
		return JobAnswer{}, unreachable(ctx, path, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_, sent := c.Write(msg) // who was refused before that was read finds the answer all the same
	ans, read, err := readJobAnswer(c)
	switch {
	case read != nil && sent != nil:
		return JobAnswer{}, unreachable(ctx, path, sent)
	case read != nil:
		return JobAnswer{}, unreachable(ctx, path, read)
	}
	return ans, err
}

// readJobAnswer reads as many datagrams as there are. read is that of the socket, err what the answer says or lacks.
func readJobAnswer(c net.Conn) (ans JobAnswer, read, err error) {
	buf := make([]byte, longestMessage+1)
	for more := true; more; {
		n, read := readAnswer(c, buf)
		if read != nil {
			return JobAnswer{}, read, nil
		}
		if more, err = addJobAnswer(&ans, buf[:n]); err != nil {
			return JobAnswer{}, nil, err
		}
	}
	return ans, nil, nil
}
