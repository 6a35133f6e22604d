package logs

import (
	"io"
	"log/slog"
	"strings"

	"github.com/jobd-project/jobd/job"
)

// newText writes a record a line. slog quotes whatever could end a line or a field, or move a cursor; but not DEL.
func newText(w io.Writer, name namer) slog.Handler {
	return slog.NewTextHandler(&whole{w: w}, &slog.HandlerOptions{
		Level:       slog.LevelDebug - 100,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return plain(a, name) },
	})
}

// whole writes lines, and a line feed behind what there is of one that could not be written to its end: the next does not go on from it.
type whole struct {
	w    io.Writer
	torn bool
}

func (l *whole) Write(b []byte) (int, error) {
	line := b
	if l.torn {
		line = append([]byte{'\n'}, b...)
	}
	n, err := l.w.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	l.torn = err != nil && (l.torn || n > 0)
	return min(n, len(b)), err
}

// namer says how a job is called.
type namer func(job.JID) string

// plain makes an attribute what is written of it.
func plain(a slog.Attr, name namer) slog.Attr {
	v := a.Value.Resolve()
	switch x := v.Any().(type) {
	case job.JID:
		v = slog.StringValue(name(x))
	case error:
		v = slog.StringValue(x.Error())
	}
	if v.Kind() == slog.KindString && strings.ContainsRune(v.String(), '\x7f') {
		v = slog.StringValue(strings.ReplaceAll(v.String(), "\x7f", `\x7f`))
	}
	a.Value = v
	return a
}
