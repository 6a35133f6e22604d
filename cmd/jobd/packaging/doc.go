// Package packaging holds the tests of the packages and of what they install. It has no code of its own and is imported by nobody.
//
// Packages are installed with dpkg and rpm, into a copy of the host that lives in a mount namespace (root_test.go): nothing
// of the host's is changed, and its jobd, its systemd and its PAM stacks are not touched.
package packaging
