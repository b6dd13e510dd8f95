package cluster

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

const (
	viewNumber protowire.Number = 1
	viewNode   protowire.Number = 2

	nodeName     protowire.Number = 1
	nodeAddr     protowire.Number = 2
	nodeDraining protowire.Number = 3

	// maxNodes bounds what a view from elsewhere may cost: each node has a
	// score for each shard.
	maxNodes = 1024
)

// Encode is the view as it travels between nodes.
func (v *View) Encode() []byte {
	b := appendVarint(nil, viewNumber, uint64(v.number))
	for _, n := range v.nodes {
		var in []byte
		in = appendText(in, nodeName, n.Name)
		in = appendText(in, nodeAddr, n.Addr)
		if n.Draining {
			in = appendVarint(in, nodeDraining, 1)
		}
		b = protowire.AppendTag(b, viewNode, protowire.BytesType)
		b = protowire.AppendBytes(b, in)
	}
	return b
}

// DecodeView reads what Encode wrote, on this or another node.
func DecodeView(data []byte) (*View, error) {
	var number int64
	var nodes []Node
	err := fields(data, func(num protowire.Number, n uint64, in []byte) error {
		switch num {
		case viewNumber:
			number = int64(n)
		case viewNode:
			var node Node
			if err := node.read(in); err != nil {
				return err
			}
			if nodes = append(nodes, node); len(nodes) > maxNodes {
				return fmt.Errorf("%w: more than %d nodes", errMalformed, maxNodes)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("decode a view: %w", err)
	}
	return NewView(number, nodes), nil
}

func (n *Node) read(data []byte) error {
	return fields(data, func(num protowire.Number, on uint64, in []byte) error {
		switch num {
		case nodeName:
			n.Name = string(in)
		case nodeAddr:
			n.Addr = string(in)
		case nodeDraining:
			n.Draining = on != 0
		}
		return nil
	})
}
