package cluster

// Placement answers what actors ask about who owns what, by a member's view.
type Placement struct{ *Member }

// Owner is the address of the node that owns the key; false: nobody is there
// who could.
func (p Placement) Owner(key [16]byte) (addr string, ok bool) {
	n, ok := p.View().OwnerOf(key)
	return n.Addr, ok
}

// Former is who owned the key before this node did, if that one is still there:
// who would own it without this node, had nobody begun to leave.
func (p Placement) Former(key [16]byte) (addr string, ok bool) {
	n, ok := p.View().next(ShardOf(key), p.Self().Name)
	return n.Addr, ok
}

// Number is that of the view. A greater one is newer.
func (p Placement) Number() int64 { return p.View().Number() }

// Export is the view, for Offer on another node.
func (p Placement) Export() []byte { return p.View().Encode() }

// Offer makes another node's view this one's if it is newer. What it can't read
// it drops.
func (p Placement) Offer(view []byte) {
	if len(view) == 0 {
		return
	}
	v, err := DecodeView(view)
	if err != nil {
		p.cfg.Logger.Warn("another node's view can't be read", "error", err)
		return
	}
	p.Member.Offer(v)
}

// Watch has f called after each change of the view. Call it before Join.
func (p Placement) Watch(f func()) { p.Member.Watch(func(_, _ *View) { f() }) }
