package wire

// Scanner splits what arrives on the line into frames and console text. It is
// not safe for concurrent use.
type Scanner struct {
	// Frame is handed what stood between the marks of a frame and says
	// whether it was one. What it refuses goes to Text, marks excepted, so
	// that no console text is lost.
	Frame func(text []byte) bool
	// Text is handed everything else, in pieces that it must not keep.
	Text func([]byte)

	state scanState
	frame []byte // base64 since the start mark
}

type scanState int

const (
	inText   scanState = iota
	inFrame            // after the start mark
	inserted           // in a kernel message inside a frame
)

// Write takes the next bytes off the line. It never fails.
func (s *Scanner) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		switch s.state {
		case inText:
			p = s.text(p)
		case inFrame:
			p = s.collect(p)
		case inserted:
			p = s.insertion(p)
		}
	}
	return n, nil
}

// Flush hands out a frame that was never finished as text, at the line's end.
func (s *Scanner) Flush() {
	s.abandon()
	s.state = inText
}

func (s *Scanner) text(p []byte) []byte {
	i := 0
	for i < len(p) && p[i] != start {
		i++
	}
	s.emit(p[:i])
	if i == len(p) {
		return nil
	}
	s.state = inFrame
	return p[i+1:]
}

func (s *Scanner) collect(p []byte) []byte {
	i := 0
	for i < len(p) && isBase64[p[i]] {
		i++
	}
	s.frame = append(s.frame, p[:i]...)
	if len(s.frame) > maxEncoded {
		s.abandon()
		s.state = inText
		return p[i:]
	}
	if i == len(p) {
		return nil
	}
	switch p[i] {
	case stop:
		if !s.Frame(s.frame) {
			s.emit(s.frame)
		}
		s.frame = s.frame[:0]
		s.state = inText
		return p[i+1:]
	case start: // the frame before was cut off
		s.abandon()
		return p[i+1:]
	}
	s.state = inserted
	return p[i:]
}

func (s *Scanner) insertion(p []byte) []byte {
	for i, c := range p {
		switch c {
		case '\n':
			s.emit(p[:i+1])
			s.state = inFrame
			return p[i+1:]
		case start, stop: // not a kernel's line after all
			s.emit(p[:i])
			s.state = inFrame
			return p[i:]
		}
	}
	s.emit(p)
	return nil
}

func (s *Scanner) abandon() {
	s.emit(s.frame)
	s.frame = s.frame[:0]
}

func (s *Scanner) emit(p []byte) {
	if len(p) > 0 {
		s.Text(p)
	}
}

var isBase64 = func() (set [256]bool) {
	for _, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		set[c] = true
	}
	return set
}()
