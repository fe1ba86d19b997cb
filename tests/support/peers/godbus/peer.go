// godbus.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"reflect"
	"syscall"

	"github.com/godbus/dbus"
)

const (
	path      = dbus.ObjectPath("/org/omnibus/Peer")
	peer      = "org.omnibus.Peer"
	errorName = "org.omnibus.Error.Expected"
	text      = "grüß dich"
)

var numbers = []int32{1, -2, 3}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func check(what string, found, expected interface{}) {
	if !reflect.DeepEqual(found, expected) {
		must(fmt.Errorf("%s: %v instead of %v", what, found, expected))
	}
}

// pipeWith returns the reading end of a pipe that contains a text.
func pipeWith(content string) int {
	var ends [2]int
	must(syscall.Pipe(ends[:]))
	_, err := syscall.Write(ends[1], []byte(content))
	must(err)
	must(syscall.Close(ends[1]))
	return ends[0]
}

func readAndClose(descriptor int) string {
	data := make([]byte, 1000)
	count, err := syscall.Read(descriptor, data)
	must(err)
	must(syscall.Close(descriptor))
	return string(data[:count])
}

type service struct {
	connection *dbus.Conn
}

func (s service) Echo(content string, values []int32) (string, []int32, *dbus.Error) {
	return content, values, nil
}

func (s service) Fail() *dbus.Error {
	return dbus.NewError(errorName, []interface{}{text})
}

func (s service) Announce(content string) *dbus.Error {
	must(s.connection.Emit(path, peer+".Announced", content))
	return nil
}

func (s service) Write(descriptor dbus.UnixFD, content string) *dbus.Error {
	_, err := syscall.Write(int(descriptor), []byte(content))
	must(err)
	must(syscall.Close(int(descriptor)))
	return nil
}

// Open leaves its end of the pipe open: the library sends the reply after it has returned.
func (s service) Open(content string) (dbus.UnixFD, *dbus.Error) {
	return dbus.UnixFD(pipeWith(content)), nil
}

func serve(connection *dbus.Conn, name string) {
	must(connection.Export(service{connection}, path, peer))
	answer, err := connection.RequestName(name, dbus.NameFlagDoNotQueue)
	must(err)
	check("RequestName", answer, dbus.RequestNameReplyPrimaryOwner)
	fmt.Println("ready")
	bufio.NewReader(os.Stdin).ReadString(0)
}

func call(connection *dbus.Conn, name string) {
	object := connection.Object(name, path)
	var content string
	var values []int32
	must(object.Call(peer+".Echo", 0, text, numbers).Store(&content, &values))
	check("Echo", content, text)
	check("Echo", values, numbers)
	var failed dbus.Error
	if !errors.As(object.Call(peer+".Fail", 0).Err, &failed) {
		must(errors.New("Fail: no error"))
	}
	check("Fail", failed.Name, errorName)
	check("Fail", failed.Body, []interface{}{text})

	signals := make(chan *dbus.Signal, 1)
	connection.Signal(signals)
	must(connection.AddMatchSignal(dbus.WithMatchSender(name), dbus.WithMatchInterface(peer),
		dbus.WithMatchMember("Announced"), dbus.WithMatchObjectPath(path)))
	must(object.Call(peer+".Announce", 0, text).Err)
	for signal := range signals {
		if signal.Name == peer+".Announced" {
			check("Announced", signal.Body, []interface{}{text})
			break
		}
	}

	var ends [2]int
	must(syscall.Pipe(ends[:]))
	must(object.Call(peer+".Write", 0, dbus.UnixFD(ends[1]), text).Err)
	must(syscall.Close(ends[1]))
	check("Write", readAndClose(ends[0]), text)
	var opened dbus.UnixFD
	must(object.Call(peer+".Open", 0, text).Store(&opened))
	check("Open", readAndClose(int(opened)), text)
	fmt.Println("ok")
}

func main() {
	connection, err := dbus.Dial(os.Getenv("DBUS_SESSION_BUS_ADDRESS"))
	must(err)
	must(connection.Auth(nil))
	must(connection.Hello())
	if os.Args[1] == "service" {
		serve(connection, os.Args[2])
	} else {
		call(connection, os.Args[2])
	}
}
