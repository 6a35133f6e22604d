package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress is a bar on a terminal, once something takes over a second; anywhere else it is nothing.
type progress struct {
	out   io.Writer // nil: nowhere
	what  string
	begun time.Time
	shown time.Time
}

func (c *dbCommand) bar(what string) *progress {
	p := &progress{what: what, begun: time.Now()}
	if f, ok := c.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.out = f
	}
	return p
}

// tell shows how far it is.
func (p *progress) tell(done, all int64) {
	now := time.Now()
	if p.out == nil || all <= 0 || now.Sub(p.begun) < time.Second || now.Sub(p.shown) < 100*time.Millisecond {
		return
	}
	p.shown = now
	fmt.Fprint(p.out, "\r\x1b[K"+progressLine(p.what, min(done, all), all, now.Sub(p.begun)))
}

// progressLine is at most 60 columns wide.
func progressLine(what string, done, all int64, took time.Duration) string {
	const width = 30
	part := float64(done) / float64(all)
	n := int(part * width)
	left := "--:--"
	if done > 0 {
		s := int(took.Seconds() * (1 - part) / part)
		left = fmt.Sprintf("%02d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%-8s [%s%s] %3d%%  %s left", what, strings.Repeat("#", n), strings.Repeat(".", width-n), int(part*100), left)
}

// end takes the bar away.
func (p *progress) end() {
	if p.out != nil && !p.shown.IsZero() {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// writer counts what is written.
func (p *progress) writer(w io.Writer, all int64) io.Writer {
	return &countedWriter{w: w, p: p, all: all}
}

type countedWriter struct {
	w         io.Writer
	p         *progress
	done, all int64
}

func (c *countedWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.done += int64(n)
	c.p.tell(c.done, c.all)
	return n, err
}
