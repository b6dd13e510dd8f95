//go:build !linux

package main

import "syscall"

// childAttributes put a child into a group of its own, away from our terminal's
// Ctrl-C.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
