// program is what the tests run in a container: it prints a line and exits
// with 3.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("hello")
	os.Exit(3)
}
