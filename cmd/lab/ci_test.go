package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// ciScripts are the shell scripts of an example for CI, with the values of its
// matrix in the place of their names.
type ciScripts []string

// workflow is as much of GitHub's format as the example uses.
type workflow struct {
	Name        string            `yaml:"name"`
	On          map[string]any    `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]struct {
		Name     string `yaml:"name"`
		RunsOn   string `yaml:"runs-on"`
		Image    string `yaml:"container"`
		Timeout  int    `yaml:"timeout-minutes"`
		Strategy struct {
			FailFast bool `yaml:"fail-fast"`
			Matrix   struct {
				Include []map[string]string `yaml:"include"`
			} `yaml:"matrix"`
		} `yaml:"strategy"`
		Env   map[string]string `yaml:"env"`
		Steps []struct {
			Name  string            `yaml:"name"`
			If    string            `yaml:"if"`
			Uses  string            `yaml:"uses"`
			With  map[string]string `yaml:"with"`
			Shell string            `yaml:"shell"`
			Run   string            `yaml:"run"`
		} `yaml:"steps"`
	} `yaml:"jobs"`
}

// pipeline is as much of GitLab's.
type pipeline map[string]struct {
	Image    string `yaml:"image"`
	Timeout  string `yaml:"timeout"`
	Parallel struct {
		Matrix []map[string]string `yaml:"matrix"`
	} `yaml:"parallel"`
	Variables map[string]string `yaml:"variables"`
	Cache     struct {
		Key   string   `yaml:"key"`
		Paths []string `yaml:"paths"`
	} `yaml:"cache"`
	Before    []string `yaml:"before_script"`
	Script    []string `yaml:"script"`
	Artifacts struct {
		When    string            `yaml:"when"`
		Expire  string            `yaml:"expire_in"`
		Paths   []string          `yaml:"paths"`
		Reports map[string]string `yaml:"reports"`
	} `yaml:"artifacts"`
}

// readStrict reads a YAML file in which nothing may be that v does not know.
func readStrict(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs/ci", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, v, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func TestGitHubExample(t *testing.T) {
	var w workflow
	readStrict(t, "github-actions.yml", &w)
	if len(w.On) == 0 || len(w.Jobs) == 0 {
		t.Fatal("no trigger or no job")
	}
	var scripts ciScripts
	for name, job := range w.Jobs {
		if job.RunsOn == "" || len(job.Steps) == 0 || len(job.Strategy.Matrix.Include) == 0 {
			t.Errorf("job %s: no runner, no steps or no matrix", name)
		}
		for i, s := range job.Steps {
			if (s.Uses == "") == (s.Run == "") {
				t.Errorf("job %s: step %d has to have one of uses and run", name, i+1)
			}
			for _, values := range job.Strategy.Matrix.Include {
				scripts = append(scripts, fill(t, s.Run, regexp.MustCompile(`\$\{\{ *matrix\.(\w+) *\}\}`), values))
			}
		}
	}
	checkScripts(t, scripts)
}

func TestGitLabExample(t *testing.T) {
	var p pipeline
	readStrict(t, "gitlab-ci.yml", &p)
	var scripts ciScripts
	for name, job := range p {
		if job.Image == "" || len(job.Script) == 0 || job.Artifacts.Reports["junit"] == "" {
			t.Errorf("job %s: no image, no script or no report", name)
		}
		for _, values := range job.Parallel.Matrix {
			for _, line := range append(job.Before, job.Script...) {
				scripts = append(scripts, fill(t, line, regexp.MustCompile(`\$([A-Z]+)\b`), values))
			}
		}
	}
	checkScripts(t, scripts)
}

// fill puts the values of a matrix in the place of their names.
func fill(t *testing.T, script string, name *regexp.Regexp, values map[string]string) string {
	t.Helper()
	return name.ReplaceAllStringFunc(script, func(s string) string {
		v, ok := values[name.FindStringSubmatch(s)[1]]
		if !ok {
			t.Errorf("%q names %s, which the matrix does not have", script, s)
		}
		return v
	})
}

// checkScripts checks the shell's syntax, and every call of lab against the
// command line there is.
func checkScripts(t *testing.T, scripts ciScripts) {
	t.Helper()
	calls := 0
	for _, script := range scripts {
		if script == "" {
			continue
		}
		cmd := exec.Command("bash", "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", script, err, out)
		}
		for line := range strings.Lines(script) {
			if _, call, ok := strings.Cut(line, "bin/lab "); ok {
				calls++
				checkCall(t, call)
			}
		}
	}
	if calls == 0 {
		t.Error("the example does not call lab")
	}
}

// checkCall checks one call's command and flags.
func checkCall(t *testing.T, call string) {
	t.Helper()
	if i := strings.IndexAny(call, ">|&;"); i >= 0 {
		call = call[:i]
	}
	cmd, rest, err := (&app{}).root().Find(strings.Fields(call))
	if err != nil {
		t.Errorf("lab %s: %v", call, err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("lab %s: %v", call, err)
	}
	if base, err := cmd.Flags().GetString("baseline"); err == nil && base != "" {
		if _, err := os.Stat(filepath.Join("../..", base)); err != nil {
			t.Errorf("lab %s: %v", call, err)
		}
	}
}
