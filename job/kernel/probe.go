package kernel

// Connects tries whether the kernel answers on the proc connector: ErrNoConnector where it does not. Nobody else hears less for it: a
// socket that is closed without a word takes nothing back. It needs CAP_NET_ADMIN, in the initial namespaces.
func Connects() error {
	s, err := dialConnector(nil)
	if err == nil {
		s.close()
	}
	return err
}

// Records tries whether the kernel gives exit records: ErrNoTaskstats where it does not. It needs CAP_NET_ADMIN.
func Records() error {
	s, err := dialTaskstats()
	if err == nil {
		s.deregister()
		s.close()
	}
	return err
}

// Delays reports whether the kernel counts how long tasks wait (kernel.task_delayacct): else delays are not known.
func (fs FS) Delays() bool { return delayAccounting(fs) }
