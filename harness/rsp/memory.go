package rsp

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
)

// QEMU reads at most half its packet size, 0x800 bytes, with one m.
const maxRead = 0x800

// maxBatch limits the m packets written at once, so that neither side's
// socket buffer fills: 16 replies have 64 KiB.
const maxBatch = 16

// A Range is a piece of memory to read or write, of len(Buf) bytes.
type Range struct {
	Addr uint64
	Buf  []byte
}

// ReadMemory fills buf from the guest's memory at a virtual address of the selected
// thread. When part of it cannot be read, the error is ErrFault and the contents of
// buf are undefined.
func (c *Client) ReadMemory(ctx context.Context, addr uint64, buf []byte) error {
	return c.ReadRanges(ctx, []Range{{addr, buf}})
}

// ReadRanges reads several pieces of memory in as few round trips as possible.
// It returns the error of the first piece that cannot be read.
func (c *Client) ReadRanges(ctx context.Context, ranges []Range) error {
	const op = "read memory"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	most := min(maxRead, c.packetSize/2)
	var reqs []*request
	var pieces [][]byte
	flush := func() error {
		err := c.readPieces(ctx, op, reqs, pieces)
		reqs, pieces = reqs[:0], pieces[:0]
		return err
	}
	for _, r := range ranges {
		for done := 0; done < len(r.Buf); done += most {
			piece := r.Buf[done:min(done+most, len(r.Buf))]
			reqs = append(reqs, ask(fmt.Sprintf("m%x,%x", r.Addr+uint64(done), len(piece))))
			pieces = append(pieces, piece)
			if len(reqs) == maxBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

func (c *Client) readPieces(ctx context.Context, op string, reqs []*request, pieces [][]byte) error {
	if len(reqs) == 0 {
		return nil
	}
	if err := c.exchange(ctx, reqs...); err != nil {
		return opError(op, reqs[0].payload, err)
	}
	for i, r := range reqs {
		if err := readPiece(r, pieces[i]); err != nil {
			return opError(op, r.payload, err)
		}
	}
	return nil
}

// readPiece decodes the answer to an m packet into piece.
func readPiece(r *request, piece []byte) error {
	if err := replyError(r.reply); err != nil {
		return err
	}
	if len(r.reply) != 2*len(piece) {
		return fmt.Errorf("%w of %d bytes, want %d", unexpected(r.reply), len(r.reply)/2, len(piece))
	}
	_, err := hex.Decode(piece, r.reply)
	return err
}

// ReadPhysical fills the ranges from the guest's physical memory, devices included.
func (c *Client) ReadPhysical(ctx context.Context, ranges []Range) error {
	const op = "read physical memory"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	most := min(maxRead, c.packetSize/2)
	reqs := []*request{ask("Qqemu.PhyMemMode:1")}
	var pieces [][]byte
	// The first batch starts with a Q packet and the last one ends with one; all
	// other packets are answered with memory.
	flush := func() error {
		err := c.exchange(ctx, reqs...)
		for _, r := range reqs {
			if err != nil {
				break
			}
			if r.payload[0] == 'Q' {
				err = okError(r.reply)
				continue
			}
			err = readPiece(r, pieces[0])
			pieces = pieces[1:]
		}
		reqs, pieces = reqs[:0], nil
		return opError(op, "", err)
	}
	var err error
	for _, r := range ranges {
		for done := 0; done < len(r.Buf) && err == nil; done += most {
			piece := r.Buf[done:min(done+most, len(r.Buf))]
			reqs = append(reqs, ask(fmt.Sprintf("m%x,%x", r.Addr+uint64(done), len(piece))))
			pieces = append(pieces, piece)
			if len(reqs) >= maxBatch {
				err = flush()
			}
		}
	}
	reqs = append(reqs, ask("Qqemu.PhyMemMode:0"))
	return errors.Join(err, flush())
}

// FlushTLB makes QEMU flush the TLBs of its vCPUs, by inserting and removing a
// watchpoint that crosses a page boundary (cpu_watchpoint_insert in
// system/watchpoint.c).
func (c *Client) FlushTLB(ctx context.Context) error {
	const op = "flush the TLB"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	const across = "2,fff,2" // writes to the last byte of page 0 and the first of page 1
	reqs := []*request{ask("Z" + across), ask("z" + across)}
	err := c.exchange(ctx, reqs...)
	for i := 0; i < len(reqs) && err == nil; i++ {
		err = okError(reqs[i].reply)
	}
	return opError(op, "", err)
}

// maxWrites limits the M packets written at once.
const maxWrites = 64

// WritePhysical writes the ranges to the guest's physical memory
// (Qqemu.PhyMemMode in QEMU's gdbstub).
func (c *Client) WritePhysical(ctx context.Context, ranges []Range) error {
	const op = "write physical memory"
	if err := c.acquireHalted(ctx); err != nil {
		return opError(op, "", err)
	}
	defer c.release()
	c.cached = nil
	most := (c.packetSize - len("Mffffffffffffffff,ffff:")) / 2
	reqs := []*request{ask("Qqemu.PhyMemMode:1")}
	flush := func() error {
		err := c.exchange(ctx, reqs...)
		for i := 0; i < len(reqs) && err == nil; i++ {
			err = okError(reqs[i].reply)
		}
		reqs = reqs[:0]
		return opError(op, "", err)
	}
	var err error
	for _, r := range ranges {
		for done := 0; done < len(r.Buf) && err == nil; done += most {
			piece := r.Buf[done:min(done+most, len(r.Buf))]
			reqs = append(reqs, ask(fmt.Sprintf("M%x,%x:%x", r.Addr+uint64(done), len(piece), piece)))
			if len(reqs) == maxWrites {
				err = flush()
			}
		}
	}
	reqs = append(reqs, ask("Qqemu.PhyMemMode:0"))
	return errors.Join(err, flush())
}
