package control_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/jobd-project/jobd/job/control"
)

// story stands in for jobd: somebody runs make in job 17, and the job ends.
type story struct{}

func (story) Login(context.Context, control.Peer, control.LoginRequest) (control.LoginAnswer, error) {
	return control.LoginAnswer{}, nil
}

func (story) Job(context.Context, control.Peer, control.JobRequest) (control.JobAnswer, error) {
	return control.JobAnswer{}, nil
}

func (story) Do(context.Context, control.Peer, control.Access, control.Request) (any, error) {
	return control.Lines(func(_ context.Context, write func([]byte) error) error {
		return write([]byte(`{"event":"exec","time":"2026-03-01T09:12:00Z","jid":"0x000012ab00000011","seq":17,"pid":4301,"tgid":4301,"exe":"/usr/bin/make","cursor":"0badcafe00000001-41"}
{"event":"lost","time":"2026-03-01T09:12:01Z","jid":null,"seq":null,"pid":null,"tgid":null,"lost":12,"why":"slow","cursor":"0badcafe00000001-53"}
{"event":"job_end","time":"2026-03-01T09:12:02Z","jid":"0x000012ab00000011","seq":17,"pid":null,"tgid":null,"user":"alice","end_reason":"exit","cursor":"0badcafe00000001-54"}
`))
	}), nil
}

// What runs in job 17, until it ends. A client that is cut off goes on with the cursor of the last line that it had.
func ExampleClient_Watch() {
	dir, err := os.MkdirTemp("", "jobd")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	s, err := control.Listen(filepath.Join(dir, "jobd.sock"), control.Config{}) // of a real jobd it is /run/jobd/jobd.sock
	if err != nil {
		panic(err)
	}
	defer s.Close()
	go s.Serve(context.Background(), story{})

	client := control.NewClient(filepath.Join(dir, "jobd.sock"))
	req := control.Request{Job: "17", Event: "exec,job_end"}
	for {
		w, err := client.Watch(context.Background(), req)
		if err != nil {
			panic(err)
		}
		for err == nil {
			var e control.WatchEvent
			if e, err = w.Next(); err != nil {
				break
			}
			req.Cursor = e.Cursor
			switch e.Event {
			case control.EventExec:
				fmt.Println(*e.PID, "runs", e.Exe)
			case control.EventLost:
				fmt.Println("missed", *e.Lost)
			case control.EventJobEnd:
				fmt.Println("job", *e.Seq, "is over:", e.EndReason)
			}
		}
		w.Close()
		if errors.Is(err, io.EOF) {
			return // that was all
		}
	}
	// Output:
	// 4301 runs /usr/bin/make
	// missed 12
	// job 17 is over: exit
}
