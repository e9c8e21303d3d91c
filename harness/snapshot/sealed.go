package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"kernellab/internal/atomicfile"
	"kernellab/internal/regular"
)

// sealed is a small file with the digest of its content: what is not what was written is
// not used.
type sealed struct {
	SHA256  string          `json:"sha256"` // of the content, byte for byte
	Content json.RawMessage `json:"content"`
}

// writeSealed writes v, which JSON can hold, and its digest.
func writeSealed(path string, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	b, err := json.Marshal(sealed{hex.EncodeToString(sum[:]), content})
	if err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, 0o600, append(b, '\n'))
}

// readSealed reads what writeSealed wrote, of at most that many bytes. The error is
// fs.ErrNotExist if there is no file. A file of an older version of lab, which has no
// digest, is an error too.
func readSealed(path string, most int64, v any) error {
	b, err := readBounded(path, most)
	if err != nil {
		return err
	}
	var s sealed
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if sum := sha256.Sum256(s.Content); hex.EncodeToString(sum[:]) != s.SHA256 {
		return fmt.Errorf("%s is not what was written", path)
	}
	if err := json.Unmarshal(s.Content, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readBounded(path string, most int64) ([]byte, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
