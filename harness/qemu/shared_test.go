package qemu

import (
	"bufio"
	"fmt"
	"os"
	"testing"
)

// What libfaketime leaves behind of a process that is killed is removed.
func TestRemovesShared(t *testing.T) {
	if _, err := os.Stat("/dev/shm"); err != nil {
		t.Skipf("%v; the test puts files there", err)
	}
	vm, err := Start(t.Context(), fake(t, `touch /dev/shm/faketime_shm_$$ /dev/shm/sem.faketime_sem_$$; echo made >&3; exec sleep 60`+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	defer vm.Close()
	if line, err := bufio.NewReader(vm.Console()).ReadString('\n'); line != "made\n" {
		t.Fatalf("the console says %q, %v", line, err)
	}
	names := []string{fmt.Sprintf("/dev/shm/faketime_shm_%d", vm.PID()), fmt.Sprintf("/dev/shm/sem.faketime_sem_%d", vm.PID())}
	for _, name := range names {
		if _, err := os.Stat(name); err != nil {
			t.Fatal(err)
		}
	}
	vm.Close()
	for _, name := range names {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			os.Remove(name)
			t.Errorf("%s: %v, want it removed", name, err)
		}
	}
}
