package main

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/jobd-project/jobd/job"
	"github.com/jobd-project/jobd/job/kernel"
	"github.com/jobd-project/jobd/job/label"
)

// labelSettings say whether the kernel keeps the labels of processes too, by a BPF program of jobd's.
type labelSettings struct {
	Use string `toml:"use"` // auto or off
	Dir string `toml:"dir"` // under bpffs; empty: hostLabels for the host's own jobd, for others nowhere
}

const (
	labelAuto = "auto"
	labelOff  = "off"

	hostRunDir = "/run/jobd"
	hostLabels = "/sys/fs/bpf/jobd"
)

func (l labelSettings) check() error {
	var errs []error
	if l.Use != labelAuto && l.Use != labelOff {
		errs = append(errs, badKey("label.use", "label.use is auto or off, not %q", l.Use))
	}
	if l.Dir != "" && (!filepath.IsAbs(l.Dir) || filepath.Clean(l.Dir) != l.Dir || l.Dir == "/") {
		errs = append(errs, badKey("label.dir", "bad label.dir %q: it is a whole path, such as %s", l.Dir, hostLabels))
	}
	return errors.Join(errs...)
}

// labelDir is where labels are kept; empty: nowhere.
func (c *config) labelDir() string {
	switch {
	case c.Label.Dir != "":
		return c.Label.Dir
	case c.RunDir == hostRunDir:
		return hostLabels
	case c.Engine == engineBPF:
		return filepath.Join(c.RunDir, "bpf")
	}
	return ""
}

// errNoLabelDir is a jobd beside the host's own, which is to leave nothing in the kernel that it was not told to.
var errNoLabelDir = errors.New("label.dir is not set, and --run-dir is not " + hostRunDir)

// errLabelsOff is what root decided.
var errLabelsOff = errors.New("not wanted (label.use)")

// openLabels has the kernel keep labels, as long as that is possible and wanted, and tell of who has one where it is to be the engine. It
// comes before any rights are given away.
func (d *jobd) openLabels() error {
	err := d.openBPF()
	if err == nil && d.labels == nil {
		d.labels, d.labelsWhy = openLabels(d.cfg, label.Open)
	}
	if err != nil {
		return err
	}
	if d.labelsWhy == nil {
		debug.FreeOSMemory() // the kernel's types, in which members were looked for, are some MiB
		return nil
	}
	if err := os.Remove(d.cfg.labelKeyPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.log.Error("cannot note that labels in the kernel are not kept true", "error", err)
	}
	return nil
}

func openLabels(cfg *config, open func(dir string, key uint64) (*label.Labels, error)) (*label.Labels, error) {
	dir := cfg.labelDir()
	switch {
	case dir == "":
		return nil, errNoLabelDir
	case cfg.Label.Use == labelOff: // and none are left behind that nobody keeps true
		if err := label.Unload(dir); err != nil {
			return nil, err
		}
		return nil, errLabelsOff
	}
	if !strings.HasPrefix(dir, filepath.Dir(hostLabels)+"/") { // there bpffs is to be mounted first
		if err := makeDir(dir, 0o700); err != nil {
			return nil, err
		}
	}
	key, err := cfg.labelKey()
	if err != nil {
		return nil, err
	}
	return open(dir, key)
}

// labelKeyPath is the file by which jobd knows that labels were kept by the jobd before, and not by one before that: who keeps none
// takes it away.
func (c *config) labelKeyPath() string { return filepath.Join(c.RunDir, "label.key") }

// labelKey reads the key, or makes one.
func (c *config) labelKey() (uint64, error) {
	var b [8]byte
	switch old, err := os.ReadFile(c.labelKeyPath()); {
	case err == nil && len(old) == len(b):
		return binary.NativeEndian.Uint64(old), nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return 0, err
	}
	_, _ = rand.Read(b[:]) // it never fails
	return binary.NativeEndian.Uint64(b[:]), os.WriteFile(c.labelKeyPath(), b[:], 0o600)
}

// labelOptions tells the engine of them.
func (d *jobd) labelOptions() []kernel.Option {
	if d.labels == nil {
		return nil
	}
	return []kernel.Option{kernel.KeepLabels(d.labels)}
}

// statusOfLabels is where they are kept, or why they are not.
func (d *jobd) statusOfLabels() (where, why job.Text) {
	if d.labels == nil {
		return "", job.Text(d.labelsWhy.Error())
	}
	return job.Text(d.cfg.labelDir()), ""
}

// labelsText says that in the log.
func (d *jobd) labelsText() string {
	if d.labels == nil {
		return "none: " + d.labelsWhy.Error()
	}
	return d.cfg.labelDir()
}
