package report

import "fmt"

// BadKey is a key of the configuration whose value cannot be used. Whoever has the file can say on which line it is.
type BadKey struct {
	Key  string // as the file has it, with its tables: billing.prime.basic
	At   int    // of a key that is there more than once which it is, from 1; 0: the only one
	Text string // names the key, and says what may be there
	Err  error  // what of it is the kernel's; nil: nothing
}

// Error is what is to be said of it.
func (b *BadKey) Error() string { return b.Text }

// Unwrap gives the kernel's error.
func (b *BadKey) Unwrap() error { return b.Err }

func badKey(key, format string, args ...any) error {
	return &BadKey{Key: key, Text: fmt.Sprintf(format, args...)}
}
