// program is what the tests run in a container: it prints a line and exits
// with 3. With the argument "hold" it writes a file, holds memory and waits for
// its end.
package main

import (
	"fmt"
	"os"
	"time"
)

// held is 32 MiB.
const held = 32 << 20

func main() {
	fmt.Println("hello")
	if len(os.Args) < 2 || os.Args[1] != "hold" {
		os.Exit(3)
	}
	memory := make([]byte, held)
	if err := os.WriteFile("/written", memory[:1<<20], 0o600); err != nil {
		panic(err)
	}
	for i := 0; i < held; i += 4096 {
		memory[i] = 1
	}
	for {
		time.Sleep(time.Second)
		memory[time.Now().Nanosecond()%held]++
	}
}
