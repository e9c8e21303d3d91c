package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kernellab/harness/grade"
	"kernellab/harness/report/words"
	"kernellab/harness/trace"
	"kernellab/harness/verdict"
	"kernellab/internal/regular"
)

// What a run of a submission leaves in its folder beside the trace, so that it can
// be graded again.
const (
	SubmissionFile = "submission.json"
	ReferenceFile  = "reference.jsonl" // the run of the lab's own program, where one was needed
)

// SubmissionSchema names the document of SubmissionFile and its version.
const SubmissionSchema = "lab.submission/1"

// maxHandedIn bounds a SubmissionFile that is read, in bytes.
const maxHandedIn = 4 << 20

// HandedIn is what counts of a submission besides the trace of its program: document
// lab.submission/1.
type HandedIn struct {
	Schema string `json:"schema"`
	Lab    string `json:"lab"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"` // uname -r, of the image
	// Student is the student's ID, where it is known, and Variant has the values of the
	// lab's variants in the task that was graded; nil is the lab's own task.
	Student string            `json:"student,omitempty"`
	Variant map[string]string `json:"variant,omitempty"`
	// Trace is the SHA-256 of the trace of the student's program, hexadecimal; "" when
	// none was run.
	Trace string `json:"trace"`
	// Answers are null where none were asked for.
	Answers     grade.Answers     `json:"answers"`
	AnswersOnly bool              `json:"answers_only"`
	Findings    []verdict.Finding `json:"findings"`          // about what was handed in
	Remarks     []string          `json:"remarks,omitempty"` // about it too, which cost nothing
	Notes       []string          `json:"notes"`             // of the run, not of its grading
	Fits        []verdict.Finding `json:"fits,omitempty"`    // whose tasks it fits, for the instructor
}

// leaveHandedIn writes what was graded to a folder; "" is none. It sets the fields of h
// that s has.
func leaveHandedIn(dir string, h HandedIn, s grade.Submitted) error {
	if dir == "" {
		return nil
	}
	h.Schema, h.Lab, h.Arch, h.Kernel = SubmissionSchema, s.Rules.Lab, s.Rules.Arch, s.Kernel
	h.Answers, h.AnswersOnly = s.Rules.Answers, s.Rules.AnswersOnly
	h.Findings, h.Notes = append([]verdict.Finding{}, s.Findings...), append([]string{}, h.Notes...)
	var err error
	if s.Trace != nil {
		h.Trace, err = fileSum(filepath.Join(dir, TraceFile))
	}
	if err == nil && s.Reference != nil {
		err = writeTrace(filepath.Join(dir, ReferenceFile), s.Reference)
	}
	var data []byte
	if err == nil {
		data, err = json.MarshalIndent(h, "", "  ")
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, SubmissionFile), append(data, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep what was handed in: %w", err)
	}
	return nil
}

// sweepHandedIn removes what an earlier run of a submission left in a folder.
func sweepHandedIn(dir string) error {
	if dir == "" {
		return nil
	}
	for _, name := range []string{SubmissionFile, ReferenceFile, TraceFile} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an earlier run left: %w", err)
		}
	}
	return nil
}

func fileSum(path string) (string, error) {
	f, err := regular.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

func writeTrace(path string, t *trace.Trace) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w, err := trace.NewWriter(f, t.Header)
	for _, e := range t.Events {
		if err == nil {
			err = w.Write(e)
		}
	}
	return errors.Join(err, f.Close())
}

// ErrOtherRun says that what lies beside a trace is of another run.
var ErrOtherRun = errors.New("it is of another run")

// ReadHandedIn reads what a run of a submission left in a folder. The error is
// fs.ErrNotExist where it was of no submission, and ErrOtherRun where the folder's
// trace is not the one that it goes with.
func ReadHandedIn(dir string) (*HandedIn, error) {
	path := filepath.Join(dir, SubmissionFile)
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var h HandedIn
	dec := json.NewDecoder(io.LimitReader(f, maxHandedIn))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&h); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if h.Schema != SubmissionSchema {
		return nil, fmt.Errorf("read %s: schema %q, want %q: grade the submission again with this lab", path, h.Schema, SubmissionSchema)
	}
	sum, err := fileSum(filepath.Join(dir, TraceFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if h.Trace != "" && sum != h.Trace {
		return nil, fmt.Errorf("%s: %w", path, ErrOtherRun)
	}
	return &h, nil
}

// Grade grades it by a lab's rules again, with the trace of the student's program and
// of the lab's own, each of which may be nil. The result is the run's.
func (h *HandedIn) Grade(rules grade.Rules, t, reference *trace.Trace) verdict.Result {
	rules.Answers, rules.AnswersOnly = h.Answers, h.AnswersOnly
	res := grade.GradeSubmission(grade.Submitted{
		Rules: rules, Trace: t, Reference: reference, Findings: h.Findings, Kernel: h.Kernel,
	})
	for _, n := range slices.Concat(h.Notes, h.Remarks) {
		res.AddNote(n)
	}
	res.Findings = append(res.Findings, h.Fits...)
	return words.Result(res)
}
