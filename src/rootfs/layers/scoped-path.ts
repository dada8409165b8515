// Resolves names of an image inside its own tree, as a process whose root is the image would: symbolic links in parent
// directories are followed, and neither they nor ".." lead out. Equal to the "secure join" of container unpackers:
// ".." counts on names that no longer hold links, and a component that does not exist is taken as it stands.

import type { Fail } from "../../tar/archive-error.ts";
import type { ByteString, DirectoryNode, TreeNode } from "../tree.ts";

/** As Linux's limit for one look-up. */
export const maxSymlinks = 40;
/** Steps of one resolution, all link targets included: a bound on the work that one entry can cause. */
const maxSteps = 8192;

/** A place in the tree without links: `nodes[i]` is what the first i names lead to, if it exists; `nodes[0]` is the root. */
export interface ScopedPath {
  readonly names: ByteString[];
  readonly nodes: (TreeNode | undefined)[];
}

/** Splits into names, lexically: no empty ones, no ".", and ".." takes one away but never leaves the root. */
export function splitPath(path: ByteString): ByteString[] {
  const names: ByteString[] = [];
  for (const name of path.split("/")) {
    if (name === "..") names.pop();
    else if (name !== "" && name !== ".") names.push(name);
  }
  return names;
}

/** Follows every link in `names`, the last one's included. Fails on a loop. */
export function resolveScoped(
  root: DirectoryNode,
  names: readonly ByteString[],
  { fail }: { fail: Fail },
): ScopedPath {
  const at: ScopedPath = { names: [], nodes: [root] };
  // Last name first, so that a link's target is pushed in front of what is left.
  const ahead = names.toReversed();
  let links = 0;
  let steps = 0;
  for (let name = ahead.pop(); name !== undefined; name = ahead.pop()) {
    if (++steps > maxSteps) fail("leads through too long a chain of symbolic links");
    if (name === "" || name === ".") continue;
    if (name === "..") {
      if (at.names.pop() !== undefined) at.nodes.pop();
      continue;
    }
    const parent = at.nodes.at(-1);
    const node = parent?.type === "directory" ? parent.entries.get(name) : undefined;
    if (node?.type !== "symlink") {
      at.names.push(name);
      at.nodes.push(node);
      continue;
    }
    if (++links > maxSymlinks) fail("leads through a loop of symbolic links");
    if (node.target.startsWith("/")) {
      at.names.length = 0;
      at.nodes.length = 1;
    }
    ahead.push(...node.target.split("/").reverse());
  }
  return at;
}
