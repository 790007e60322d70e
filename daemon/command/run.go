package command

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"towline/daemon"
	"towline/daemon/apps"
)

func runCommands() []*Command {
	return []*Command{
		{Name: "run", Args: "COMMAND [ARGUMENT ...]", Summary: "run a one-off command in the app's image and config", Min: 1, Max: -1,
			On: on(theApp(daemon.Operate)), Rest: true, Stream: Bytes, Run: runRun,
			Help: "Flags of Towline's own go before the command, but -a APP may also come last.\n" +
				"The exit code is the command's. It ends when you hang up.\n\n" +
				"  towline run rake db:migrate -a shop\n" +
				"  towline run worker -a shop           (a process type of the Procfile)\n" +
				"  towline run -a shop 'ls -l | wc'     (one word is a line for the app's shell)",
			Flags: func(f *pflag.FlagSet) {
				f.StringArrayP("env", "e", nil, "KEY=value, set for this command alone")
				f.Bool("no-tty", false, "no terminal, even if you have one")
			}},
	}
}

func runRun(ctx context.Context, call *Call) (Result, error) {
	noTTY, _ := call.Flags.GetBool("no-tty")
	env := map[string]string{}
	for _, pair := range call.given("env") {
		key, value, found := strings.Cut(pair, "=")
		if !found {
			return Result{}, daemon.Errorf(daemon.Invalid, "%q has no =", clip(pair)).WithHint("write --env KEY=value")
		}
		env[key] = value
	}
	if call.Terminal && !noTTY && call.Term != "" {
		env["TERM"] = call.Term
	}
	if call.Terminal && !noTTY {
		call.Raw()
	}
	code, err := call.Processes.Run(ctx, apps.RunRequest{
		App: call.App, Member: call.Member, Command: call.Args, Env: env,
		Streams: daemon.Streams{
			Stdin: call.Stdin, Stdout: call.Stdout, Stderr: call.Stderr,
			Terminal: call.Terminal && !noTTY, Size: call.Size, Resize: call.Resize,
		},
	})
	if err != nil {
		return Result{}, err
	}
	return Result{Code: code}, nil
}
