package main

import (
	"errors"
	"fmt"
	"path/filepath"

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
	if l.Use != labelAuto && l.Use != labelOff {
		return fmt.Errorf("unknown label.use %q: auto or off", l.Use)
	}
	if l.Dir != "" && (!filepath.IsAbs(l.Dir) || filepath.Clean(l.Dir) != l.Dir || l.Dir == "/") {
		return fmt.Errorf("bad label.dir %q: it is a whole path, such as %s", l.Dir, hostLabels)
	}
	return nil
}

// labelDir is where labels are kept; empty: nowhere.
func (c *config) labelDir() string {
	if c.Label.Dir == "" && c.RunDir == hostRunDir {
		return hostLabels
	}
	return c.Label.Dir
}

// errNoLabelDir is a jobd beside the host's own, which is to leave nothing in the kernel that it was not told to.
var errNoLabelDir = errors.New("label.dir is not set, and --run-dir is not " + hostRunDir)

// errLabelsOff is what root decided.
var errLabelsOff = errors.New("not wanted (label.use)")

// openLabels has the kernel keep labels, as long as that is possible and wanted. It comes before any rights are given away.
func (d *jobd) openLabels() {
	d.labels, d.labelsWhy = openLabels(d.cfg)
	if d.labelsWhy != nil {
		d.log.Info("the kernel keeps no labels", "why", d.labelsWhy)
	}
}

func openLabels(cfg *config) (*label.Labels, error) {
	dir := cfg.labelDir()
	if cfg.Label.Use == labelOff {
		if err := unloadLabels(dir); err != nil {
			return nil, err
		}
		return nil, errLabelsOff
	}
	if dir == "" {
		return nil, errNoLabelDir
	}
	return label.Open(dir)
}

// unloadLabels leaves no labels behind that nobody keeps true.
func unloadLabels(dir string) error {
	if dir == "" {
		return nil
	}
	return label.Unload(dir)
}

func (d *jobd) closeLabels() {
	if d.labels != nil {
		d.labels.Close()
	}
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
