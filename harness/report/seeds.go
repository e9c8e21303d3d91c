package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"kernellab/harness/report/words"
	"kernellab/harness/seeds"
	"kernellab/harness/verdict"
)

// SeedsSchema names the document of runs with several seeds and its version.
const SeedsSchema = "lab.seeds/1"

// Seeds has the runs of one lab on one kernel with several seeds.
type Seeds struct {
	Lab, Arch, Kernel string
	Runs              []seeds.Run
}

// SeedsFormats returns the formats of WriteSeeds, text first.
func SeedsFormats() []string { return []string{FormatText, FormatJSON} }

// shownValues is the number of variants of a value that are shown.
const shownValues = 3

// WriteSeeds writes the values that vary with the seed, as a table or as document
// lab.seeds/1.
func WriteSeeds(w io.Writer, format string, all []Seeds) error {
	if format == FormatJSON {
		return writeSeedsJSON(w, all)
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := s.write(w); err != nil {
			return err
		}
	}
	return nil
}

// verdicts counts the runs by verdict.
func (s Seeds) verdicts() (passed, failed, ungraded int) {
	for _, r := range s.Runs {
		switch r.Result.Verdict {
		case verdict.Pass:
			passed++
		case verdict.Fail:
			failed++
		default:
			ungraded++
		}
	}
	return passed, failed, ungraded
}

func (s Seeds) write(w io.Writer) error {
	s.Runs = slices.Clone(s.Runs)
	for i := range s.Runs {
		s.Runs[i].Result = words.Result(s.Runs[i].Result)
	}
	passed, failed, ungraded := s.verdicts()
	fmt.Fprintf(w, "%s on %s Linux %s, %d seeds: %d passed, %d failed, %d could not be graded\n", s.Lab, s.Arch, s.Kernel, len(s.Runs), passed, failed, ungraded)
	for _, r := range s.Runs {
		switch {
		case r.Result.Verdict == verdict.Error:
			fmt.Fprintf(w, "  seed %d could not be graded: %s\n", r.Seed, r.Result.Error)
		case r.Result.Verdict != verdict.Pass && len(r.Result.Findings) > 0:
			fmt.Fprintf(w, "  seed %d failed: %s\n", r.Seed, r.Result.Findings[0].Message)
		}
	}
	same := 0
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "  what varied\tvalues\tsuch as")
	for _, v := range seeds.Values(s.Runs) {
		if !v.Varies(len(s.Runs)) {
			same++
			continue
		}
		such := ""
		for i, seen := range v.Seen[:min(len(v.Seen), shownValues)] {
			if i > 0 {
				such += ", "
			}
			such += clip(seen)
		}
		count := fmt.Sprint(len(v.Seen))
		if v.Runs < len(s.Runs) {
			count += fmt.Sprintf(", in %d runs", v.Runs)
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", v.What, count, such)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  %d other values were the same with every seed.\n", same)
	return err
}

// clip shortens a value for a table.
func clip(s string) string {
	const most = 40
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func writeSeedsJSON(w io.Writer, all []Seeds) error {
	type value struct {
		What string   `json:"what"`
		Seen []string `json:"seen"`
		Runs int      `json:"runs"`
	}
	type run struct {
		Seed    uint32 `json:"seed"`
		Verdict string `json:"verdict"`
		Score   int    `json:"score"`
		Error   string `json:"error,omitempty"`
	}
	type one struct {
		Lab    string  `json:"lab"`
		Arch   string  `json:"arch"`
		Kernel string  `json:"kernel"`
		Runs   []run   `json:"runs"`
		Values []value `json:"values"`
	}
	doc := struct {
		Schema  string `json:"schema"`
		Results []one  `json:"results"`
	}{Schema: SeedsSchema, Results: []one{}}
	for _, s := range all {
		o := one{s.Lab, s.Arch, s.Kernel, []run{}, []value{}}
		for _, r := range s.Runs {
			o.Runs = append(o.Runs, run{r.Seed, string(r.Result.Verdict), r.Result.Score, r.Result.Error})
		}
		for _, v := range seeds.Values(s.Runs) {
			o.Values = append(o.Values, value{v.What, v.Seen, v.Runs})
		}
		doc.Results = append(doc.Results, o)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(doc)
}
