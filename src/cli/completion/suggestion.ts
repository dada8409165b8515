/**
 * What may stand at a place of the command line: names of machines (`running`: only those that run), of images, of
 * snapshots, of commands, one of a few words, a file on the host, `MACHINE:PATH` or a file, or nothing that we know of.
 */
export type Suggestion =
  | {
      readonly kind:
        | "machine"
        | "running-machine"
        | "image"
        | "snapshot"
        | "object"
        | "file"
        | "copy"
        | "command"
        | "none";
    }
  | { readonly kind: "words"; readonly words: readonly string[] };
