package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jobd-project/jobd/job"
)

func TestStatOptions(t *testing.T) {
	for args, want := range map[string]statOptions{
		"":             {},
		"-a":           {all: true},
		"-a -p":        {all: true, processes: true},
		"-ap":          {all: true, processes: true},
		"-lph":         {limits: true, processes: true, help: true},
		"-j 0x11":      {jid: 0x11},
		"-j11":         {jid: 0x11},
		"-pj 11 -l":    {jid: 0x11, processes: true, limits: true},
		"-j ab00 -p":   {jid: 0xab00, processes: true},
		"-p -j0X00011": {jid: 0x11, processes: true},
	} {
		if got, err := readStatOptions(strings.Fields(args)); err != nil || got != want {
			t.Errorf("%q: %+v, %v", args, got, err)
		}
	}
	for _, args := range []string{"17", "-", "-x", "-a -j 11", "-j 11 -a", "-j", "-j zz", "-j 0", "-j 0x0X11", "-j 11112222333344445", "-a 17", "--all"} {
		if got, err := readStatOptions(strings.Fields(args)); err == nil {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestSignalNumber(t *testing.T) {
	for s, want := range map[string]int{"9": 9, "0": 0, "64": 64, "KILL": 9, "kill": 9, "SIGKILL": 9, "sigHup": 1, "TERM": 15, "Usr1": 10} {
		if got, ok := signalNumber(s); !ok || got != want {
			t.Errorf("%q: %d, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "-1", "65", "SIG", "nonsense", "9x", "99999999999999999999"} {
		if got, ok := signalNumber(s); ok {
			t.Errorf("%q: %d", s, got)
		}
	}
}

func FuzzParseJID(f *testing.F) {
	for _, s := range []string{"0x000012ab00000011", "17", "0X1", "zz", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		jid, err := parseJID(s)
		if err != nil {
			return
		}
		if again, err := parseJID(jid.String()); err != nil || again != jid || jid == 0 {
			t.Fatalf("%q is %s, which is %s, %v", s, jid, again, err)
		}
	})
}

// call runs a command where there is no jobd.
func call(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs strings.Builder
	a := &app{stdout: &out, stderr: &errs, runDir: t.TempDir()}
	code = a.main(name, args)
	return out.String(), errs.String(), code
}

func TestWithoutJobd(t *testing.T) {
	for _, args := range []string{
		"jstat", "jstat -a", "jstat -p -j 11", "jkill 11", "jkill -l 11", "jkill -0 11", "jwait 11", "jattach 1 11", "jdetach -p 1", "jdetach -j 11", "jsethid", "jsethid 1",
	} {
		f := strings.Fields(args)
		out, errs, code := call(t, f[0], f[1:]...)
		want := "jobd does not appear to be running.\n"
		if args == "jkill -l 11" {
			want = "Usage: jkill [-l | [-signal] jid ...]\n"
		}
		if out != "" || errs != want || code != 1 {
			t.Errorf("%s: %d %q %q", args, code, out, errs)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range []string{
		"jstat 17", "jkill", "jkill -x 11", "jkill -9", "jwait", "jwait 1 2", "jattach 1", "jattach", "jdetach", "jdetach 1", "jdetach -p", "jdetach -p 1 -j 1", "jdetach -x 1",
		"jsethid 1 2",
	} {
		f := strings.Fields(args)
		if out, errs, code := call(t, f[0], f[1:]...); out != "" || !strings.HasPrefix(errs, "Usage: "+f[0]+" ") || code != 1 {
			t.Errorf("%s: %d %q %q", args, code, out, errs)
		}
	}
	for _, args := range []string{"jattach x 11", "jattach 0 11", "jattach 1 x", "jdetach -p -1", "jdetach -j x", "jsethid 1ffffffff", "jwait job", "jkill x"} {
		f := strings.Fields(args)
		if out, errs, code := call(t, f[0], f[1:]...); out != "" || !strings.HasPrefix(errs, f[0]+": ") || !strings.Contains(errs, " is no ") || code != 1 {
			t.Errorf("%s: %d %q %q", args, code, out, errs)
		}
	}
	if _, errs, code := call(t, "jfoo"); code != 1 || !strings.Contains(errs, "jstat, jkill") {
		t.Errorf("another name: %d %q", code, errs)
	}
	if out, _, code := call(t, "jstat", "-h"); code != 0 || out != "Usage: jstat [-a | -j jid] [-l] [-p] [-h]\n" {
		t.Errorf("-h: %d %q", code, out)
	}
	out, _, code := call(t, "jkill", "-l")
	if code != 0 || strings.Count(out, "\n") != 8 || !strings.HasPrefix(out, "SIGHUP    [ 1]      SIGINT    [ 2]") {
		t.Errorf("-l: %d\n%s", code, out)
	}
}

func TestText(t *testing.T) {
	if got := shortCommand(job.Text("a\x1b[2J" + strings.Repeat("ä", 40))); got != "a?[2J"+strings.Repeat("ä", 27) {
		t.Errorf("%q", got)
	}
}

// TestManuals: each command has its page, which says how it is called.
func TestManuals(t *testing.T) {
	for name := range commands() {
		pages, err := filepath.Glob("../../docs/man/" + name + ".[18]")
		if err != nil || len(pages) != 1 {
			t.Errorf("%s has pages %v, %v", name, pages, err)
			continue
		}
		text, err := os.ReadFile(pages[0])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\n.SH SYNOPSIS\n") || !strings.Contains(string(text), "libjob (3)") {
			t.Errorf("%s lacks something", pages[0])
		}
	}
}
