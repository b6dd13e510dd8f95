package main

import "syscall"

// childAttributes put a child into a group of its own, away from our terminal's
// Ctrl-C, and have the kernel end it when we are gone.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
