// Applies layer changesets to one tree, as OCI image-spec "Image Layer Filesystem Changeset" describes.
// https://github.com/opencontainers/image-spec/blob/main/layer.md#applying-changesets
// Where the specification leaves things open, the result is that of `umoci unpack`:
//  - names are cleaned and resolved inside the tree (scoped-path.ts), so a layer may write through a link such as
//    /bin -> usr/bin that a lower layer made, and nothing leads out;
//  - entries apply in order, the last of several with one name wins;
//  - a whiteout removes what lower layers brought and never what its own layer did, wherever in the layer it stands;
//  - adding to a directory leaves its own metadata alone.

import { archiveError, type Fail } from "../../tar/archive-error.ts";
import { printable } from "../../tar/byte-string.ts";
import type { TarEntry } from "../../tar/tar-entry.ts";
import type { ByteString, DirectoryNode, NodeMetadata, TreeNode } from "../tree.ts";
import { createNode, entryMetadata } from "./node-from-entry.ts";
import { resolveScoped, type ScopedPath, splitPath } from "./scoped-path.ts";

/** How large a tree may become; crossing a limit is ARCHIVE_INVALID with the entry named. */
export interface TreeLimits {
  /** Files, directories and so on created by all layers together. Default 4,194,304: some 2 GiB of memory. */
  readonly maxInodes: number;
  /** Directories above one another. Default 2048: what a name of 4096 bytes can hold. */
  readonly maxDepth: number;
}

export const defaultTreeLimits: TreeLimits = { maxInodes: 4 * 2 ** 20, maxDepth: 2048 };

/**
 * The merged tree of an image's layers. Apply them bottom first.
 *
 * @example
 * ```ts
 * const tree = new LayeredTree();
 * for (const layer of layers) tree.apply(readTar(layer.source, layer.length));
 * writeErofs(tree.root, sink);
 * ```
 */
export class LayeredTree {
  /** 0755, owned by root, times zero until a layer has an entry for it: like every directory no entry describes. */
  readonly root: DirectoryNode = impliedDirectory();
  readonly #limits: TreeLimits;
  #inodes = 1;

  constructor(limits: Partial<TreeLimits> = {}) {
    this.#limits = { ...defaultTreeLimits, ...limits };
  }

  /** Throws ARCHIVE_INVALID for entries that no file system could hold; the tree is unusable then. */
  apply(entries: Iterable<TarEntry>): void {
    const layer = new LayerPass(this.root, (fail) => this.#countInode(fail), this.#limits.maxDepth);
    for (const entry of entries) layer.apply(entry);
  }

  #countInode(fail: Fail): void {
    const { maxInodes } = this.#limits;
    if (++this.#inodes > maxInodes) fail(`takes the image past ${maxInodes} files`);
  }
}

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";
/** AUFS kept its own books under such names; they never belonged to an image's content. */
const aufsPrefix = ".wh..wh.";

/** One layer being applied. */
class LayerPass {
  readonly #root: DirectoryNode;
  readonly #countInode: (fail: Fail) => void;
  readonly #maxDepth: number;
  /** What this layer has written, and all directories above it: whiteouts leave these alone. */
  readonly #touched = new Map<DirectoryNode, Set<ByteString>>();
  /** The parent of the entry before: most entries share it with their neighbour. */
  #recent: { readonly path: ByteString; readonly directory: DirectoryNode } | undefined;

  constructor(root: DirectoryNode, countInode: (fail: Fail) => void, maxDepth: number) {
    this.#root = root;
    this.#countInode = countInode;
    this.#maxDepth = maxDepth;
  }

  apply(entry: TarEntry): void {
    const fail: Fail = (problem) => {
      throw archiveError(problem, { entry: entry.path, offset: entry.headerOffset });
    };
    const parents = splitPath(entry.path);
    const name = parents.pop();
    if (name === undefined) {
      this.#applyToRoot(entry, fail);
      return;
    }
    if (parents.some((parent) => parent.startsWith(aufsPrefix))) return;
    if (parents.some((parent) => parent.startsWith(whiteoutPrefix))) fail("is inside of a whiteout");
    if (name.startsWith(whiteoutPrefix)) {
      this.#applyWhiteout(parents, name, fail);
      return;
    }
    const directory = this.#parentDirectory(parents, fail);
    this.#place(entry, { directory, name, fail });
    this.#touch(directory, name);
  }

  #applyToRoot(entry: TarEntry, fail: Fail): void {
    if (entry.type !== "directory") fail("would replace the root directory");
    Object.assign(this.#root, entryMetadata(entry));
  }

  #applyWhiteout(parents: readonly ByteString[], name: ByteString, fail: Fail): void {
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..") fail("is a whiteout of an impossible name");
    if (name.startsWith(aufsPrefix) && name !== opaqueMarker) return;
    const directory = resolveScoped(this.#root, parents, { fail }).nodes.at(-1);
    // What does not exist, or went with an earlier whiteout, needs no hiding.
    if (directory?.type !== "directory") return;
    this.#recent = undefined;
    const node = name === opaqueMarker ? directory : directory.entries.get(hidden);
    if (node !== directory && !this.#isTouched(directory, hidden)) directory.entries.delete(hidden);
    else if (node?.type === "directory") this.#removeLower(node);
  }

  /** Removes what lower layers left in a directory, down to what this layer has put there. */
  #removeLower(directory: DirectoryNode): void {
    for (const [name, node] of directory.entries) {
      if (!this.#isTouched(directory, name)) directory.entries.delete(name);
      else if (node.type === "directory") this.#removeLower(node);
    }
  }

  #place(
    entry: TarEntry,
    { directory, name, fail }: { directory: DirectoryNode; name: ByteString; fail: Fail },
  ): void {
    const existing = directory.entries.get(name);
    if (existing?.type === "directory" && entry.type === "directory") {
      Object.assign(existing, entryMetadata(entry));
      return;
    }
    if (existing !== undefined) {
      // Before a hard link's target is looked up: it may have been inside of what goes.
      directory.entries.delete(name);
      this.#recent = undefined;
    }
    if (entry.type === "hard-link") {
      directory.entries.set(name, this.#linkTarget(entry.linkTarget, fail));
      return;
    }
    this.#countInode(fail);
    directory.entries.set(name, createNode(entry, fail));
  }

  /** The target's last name is not followed: a hard link to a symbolic link is one. */
  #linkTarget(target: ByteString, fail: Fail): TreeNode {
    const shown = printable(target);
    const parents = splitPath(target);
    const name = parents.pop();
    if (name === undefined) return fail("is a hard link to the root directory");
    const directory = resolveScoped(this.#root, parents, { fail }).nodes.at(-1);
    const node = directory?.type === "directory" ? directory.entries.get(name) : undefined;
    if (node === undefined) return fail(`is a hard link to '${shown}', which does not exist`);
    if (node.type === "directory") return fail(`is a hard link to '${shown}', which is a directory`);
    return node;
  }

  #parentDirectory(parents: readonly ByteString[], fail: Fail): DirectoryNode {
    const path = parents.join("/");
    if (this.#recent?.path === path) return this.#recent.directory;
    const resolved = resolveScoped(this.#root, parents, { fail });
    if (resolved.names.length >= this.#maxDepth) fail(`is more than ${this.#maxDepth} directories deep`);
    const directory = this.#createMissing(resolved, fail);
    this.#recent = { path, directory };
    return directory;
  }

  /** Makes every directory on the way that does not exist, and notes the whole way as touched. */
  #createMissing({ names, nodes }: ScopedPath, fail: Fail): DirectoryNode {
    let directory = this.#root;
    for (const [index, name] of names.entries()) {
      let node = nodes[index + 1];
      if (node === undefined) {
        // By way of a link that names one.
        if (name.startsWith(whiteoutPrefix)) fail("is inside of a whiteout");
        this.#countInode(fail);
        node = impliedDirectory();
        directory.entries.set(name, node);
      }
      if (node.type !== "directory") {
        const place = names.slice(0, index + 1).join("/");
        return fail(`is inside of '${printable(place)}', which is not a directory`);
      }
      this.#touch(directory, name);
      directory = node;
    }
    return directory;
  }

  #touch(directory: DirectoryNode, name: ByteString): void {
    const names = this.#touched.get(directory);
    if (names === undefined) this.#touched.set(directory, new Set([name]));
    else names.add(name);
  }

  #isTouched(directory: DirectoryNode, name: ByteString): boolean {
    return this.#touched.get(directory)?.has(name) ?? false;
  }
}

function impliedDirectory(): DirectoryNode {
  const metadata: NodeMetadata = {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: { seconds: 0, nanoseconds: 0 },
    xattrs: new Map(),
  };
  return { type: "directory", entries: new Map(), ...metadata };
}
