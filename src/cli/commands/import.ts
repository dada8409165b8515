import type { Command } from "commander";
import { SupermachineError } from "../../errors/supermachine-error.ts";
import { interruptible } from "../attach/interruption.ts";
import type { Cli } from "../cli.ts";
import { action, type CommandDefinition, examples, jsonOption } from "../command-definition.ts";
import { imageName } from "../output/machine-text.ts";

interface Options {
  platform?: string;
  quiet?: true;
  json?: true;
}

/** `supermachine import` */
export const importImage: CommandDefinition = { define, operands: [{ kind: "file" }, { kind: "none" }] };

function define(command: Command, cli: Cli): void {
  jsonOption(command)
    .description(
      "Makes an image from a tar archive of a root file system. Prints the image's name and digest.",
    )
    .usage("[options] FILE|- NAME")
    .argument("<file>", "tar archive, also compressed with gzip or zstd; - reads standard input")
    .argument("<name>", "name for the image")
    .option("--platform <os/arch[/variant]>", "what the programs in it are made for (default: this host)")
    .option("-q, --quiet", "no progress");
  examples(command, [
    ["import rootfs.tar.gz my/base:1", "From a file"],
    ["import - my/base < rootfs.tar", "From another program"],
  ]);
  action<Options>(command, cli, async ([file = "", name = ""], options) => {
    const { stdin } = cli.host;
    if (file === "-" && stdin.isTTY === true)
      throw new SupermachineError("INVALID_ARGUMENT", "Cannot read a tar archive from a terminal", {
        hint: "Redirect standard input: supermachine import - NAME < rootfs.tar",
      });
    const { Image } = await cli.library();
    const progress = cli.startProgress({ quiet: options.quiet === true });
    const image = await interruptible(cli, (signal) =>
      Image.import({
        source: file === "-" ? stdin : file,
        name,
        platform: options.platform,
        onProgress: progress.listener,
        signal,
      }),
    );
    cli.endProgress();
    if (options.json === true) cli.printJson(image);
    else cli.print(`${imageName(image.reference)} ${image.digest}\n`);
    return 0;
  });
}
