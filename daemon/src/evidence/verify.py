#!/usr/bin/env python3
"""Verifies an evidence pack of attestd with Python's library and openssl (3.0). VERIFY.md says what each word means.
Run a copy that you trust, not the one in the pack: python3 verify.py [--key KEY] [--witness FILE] [--json] PACK"""
import argparse, base64, datetime, hashlib, json, os, pathlib, re, subprocess, sys, tempfile
ALWAYS = {*"index.html register.csv VERIFY.md verify.py manifest.json checkpoint key.txt key.pem records.jsonl".split()}
MANIFEST = {name: type_ for type_, names in {str: "origin organisation made_at made_by from to check control", bool:
            "whole redacted documents", int: "format first next size records"}.items() for name in names.split()}
OF_SUBJECTS, OF_LOG = {*"run same missed ticked retired attested".split()}, {*"restored pruned erased stamped".split()}
TYPES = OF_SUBJECTS | OF_LOG | {*"start configured acted restated digested canary accepted discarded clock recovered stopped".split()}
FILES, SMALL, RECORD, DAY = 1_000_000, 64 * 1024, 65_535, 86_400 * 10**9
NOT_WITNESSED = "not_witnessed", "nobody else's checkpoints were given (--witness)"
def need(holds, what):
    if not holds: raise ValueError(what)
    return holds
load = json.JSONDecoder(object_pairs_hook=lambda pairs: need(len(dict(pairs)) == len(pairs), "twice") and dict(pairs),
                        parse_constant=lambda text: need(False, f"{text} is no JSON")).decode
def when(text):
    at, rest = need(re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", text), "no time").groups("0")
    return int(datetime.datetime.fromisoformat(at + "+00:00").timestamp()) * 10**9 + int(rest.ljust(9, "0"))
def unbase64(text, size):
    again = base64.b64encode(data := base64.b64decode(text, validate=True)).decode()
    return need(again == text and len(data) == size and data, f"{text!r}: not {size} bytes")
def small(pack, name):
    return need(0 < (path := pathlib.Path(pack, name)).stat().st_size <= SMALL and path.read_bytes(), f"{name}: size")
def listed(pack, inside="", depth=0):
    for name, entry in ((os.path.join(inside, one.name), one) for one in os.scandir(os.path.join(pack, inside))):
        if entry.is_dir(follow_symlinks=False) and depth < 7: yield from listed(pack, name, depth + 1)
        else: yield need(entry.is_file(follow_symlinks=False) and name, f"{name!r} is no plain file")
def check_files(pack):  # every file is what SHA256SUMS says; answers the hash of that list, and the list
    there, listing = set(listed(pack)), pathlib.Path(pack, "SHA256SUMS").read_bytes()
    sums = {line[66:]: line[:64] for line in listing.decode().split("\n")[:-1]}
    need(listing.decode() == "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)), "SHA256SUMS is garbled")
    need(set(sums) == there - {"SHA256SUMS", "SHA256SUMS.note"} >= ALWAYS, "SHA256SUMS lists other files")
    for name, hash_ in sums.items():
        found = hashlib.sha256()
        with open(os.path.join(pack, name), "rb") as file:
            while piece := file.read(1 << 20): found.update(piece)
        need(found.hexdigest() == hash_, f"{name!r} is not what SHA256SUMS says")
    return hashlib.sha256(listing).hexdigest(), sums
def parse_key(text):  # a verifier key: its name, its id, and itself as openssl reads it
    name, id_, data = (*text.split("+", 2)[:2], unbase64(text.split("+", 2)[2], 33))
    hash_, spki = hashlib.sha256(f"{name}\n".encode() + data), bytes.fromhex("302a300506032b6570032100") + data[1:]
    need(data[0] == 1 and name.split() == [name] and hash_.hexdigest()[:8] == id_, "this is no Ed25519 verifier key")
    pem = f"-----BEGIN PUBLIC KEY-----\n{base64.b64encode(spki).decode()}\n-----END PUBLIC KEY-----\n"
    return name, bytes.fromhex(id_), pem
def parse_note(note):  # a signed note: its text, and who signed it
    text, gap, lines = note.rpartition("\n\n")
    need(gap and lines.endswith("\n") and not re.search(r"[\x00-\x09\x0b-\x1f]", note), "this is no signed note")
    lines = [need(re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line), "no signature") for line in lines[:-1].split("\n")]
    return text + "\n", [(line[1], unbase64(line[2], 68)) for line in lines]
def signed(key, note):  # holds that the key signed the note; answers its text
    text, signatures = parse_note(note)
    signature = need([data[4:] for name, data in signatures if (name, data[:4]) == key[:2]], "a note is of another key")
    with tempfile.TemporaryDirectory() as place:
        for name, data in {"key": key[2].encode(), "text": text.encode(), "signature": signature[0]}.items():
            pathlib.Path(place, name).write_bytes(data)
        run = subprocess.run("openssl pkeyutl -verify -pubin -inkey key -rawin -in text -sigfile signature".split(),
                             cwd=place, capture_output=True)
    return need(run.returncode == 0 and text, "a note's signature is wrong")
def checkpoint(text):
    found = need(re.fullmatch(r"([^\n]+)\n(0|[1-9]\d{0,18})\n(\S+)\n", text), "this is no checkpoint")
    return found[1], int(found[2]), unbase64(found[3], 32)
def node(left, right): return hashlib.sha256(b"\x01" + left + right).digest()
def root_of(tree, size):  # the tree has, of each height h, the roots of the full subtrees of 2^h leaves
    root, at = None, size
    for height in (h for h in range(size.bit_length()) if size >> h & 1):  # the smallest full subtree is at the right
        at -= 1 << height
        root = node(tree[height][at >> height], root) if root else tree[height][at >> height]
    return root or hashlib.sha256().digest()
def check_tiles(pack, size, root, names):  # all tiles (C2SP tlog-tiles) hash up to the root; answers the tree
    levels = [[] for _ in range(8)]
    for level, index in ((n, index) for n in range(8) for index in range(-(-(size >> 8 * n) // 256))):
        width, name, rest = min(256, (size >> 8 * level) - index * 256), f"{index % 1000:03}", index // 1000
        while rest: name, rest = f"x{rest % 1000:03}/{name}", rest // 1000
        names.add(name := f"tile/{level}/{name}" + (f".p/{width}" if width < 256 else ""))
        tile = need(len(data := small(pack, name)) == width * 32 and data, f"{name} has not {width} hashes")
        levels[level] += (tile[n:n + 32] for n in range(0, len(tile), 32))
    tree = [levels[0]]
    while len(tree[-1]) > 1: tree.append([node(*two) for two in zip(tree[-1][::2], tree[-1][1::2])])
    fine = all(levels[n] == tree[8 * n] for n in range(8) if levels[n]) and root_of(tree, size) == root
    return need(fine and tree, "the tiles do not hash up to the root in the checkpoint")
def check_records(pack, sums, manifest, tree, take):  # answers the origins that the log had earlier
    last, count, earlier, now = -1, 0, {}, None
    with open(os.path.join(pack, "records.jsonl"), "rb") as file:
        while line := file.readline(RECORD * 6 + 100):
            line = load(need(line.endswith(b"\n") and line[:-1].decode(), f"after record {last}: a line does not end"))
            i, text, private = line["i"], line["leaf"].encode(), line.get("private")
            need(set(line) <= {"i", "leaf", "private"} and type(i) is int and last < i, f"after record {last}: garbled")
            need(tree[0][i:i + 1] == [hashlib.sha256(b"\0" + text).digest()], f"record {i} is not the one in the tree")
            leaf, hash_ = load(text.decode()), None if private is None else hashlib.sha256(private.encode()).hexdigest()
            fits = hash_ == (None if manifest["redacted"] else leaf.get("private")) and leaf["t"] in TYPES and (
                len(text) + len((private or "").encode()) < RECORD and (i < manifest["next"] or leaf["t"] in OF_LOG))
            need(fits, f"record {i} is beyond the period, or has not the private part that its leaf names")
            if leaf["t"] == "stamped": stamped(now, i, leaf, tree, lambda f: small(pack, f) if f in sums else None)
            if leaf["t"] in ("start", "restored"): now = follow(earlier, now, i, leaf, tree)
            last, count, _ = i, count + 1, take(i, leaf)
    return need(count == manifest["records"] and now in (None, manifest["origin"]) and [earlier], f"{count} records")[0]
def follow(earlier, now, i, leaf, tree):  # each restore ended an origin and names its key and size; answers the next
    need(now in (None, leaf["from" if leaf["t"] == "restored" else "origin"]), f"record {i} is of another log")
    if leaf["t"] == "restored":
        said = leaf["size"], leaf["root"], (key := parse_key(leaf["key"]))[0]
        need(said == (i, root_of(tree, i).hex(), f"attestd/{leaf['from']}"), f"record {i} restores other records")
        earlier[key[0]] = key, i
    return leaf["origin"]
def stamped(now, i, leaf, tree, blob):  # a time stamp is over a checkpoint of this log; openssl says who signed it
    (name, size, root), hash_ = checkpoint(parse_note(leaf["note"])[0]), leaf["token"]
    of_log = name == f"attestd/{now or name[8:]}" and size <= i and root_of(tree, size) == root
    token, over = blob(f"blobs/{hash_[:2]}/{hash_}"), b"\4\x20" + hashlib.sha256(leaf["note"].encode()).digest()
    need(of_log and (token is None or over in token), f"record {i} is a time stamp of something else")
class Promises:  # every promised slot is kept by a later record of that slot, or ended; no schedule is computed
    def __init__(self, manifest):
        self.first, self.next, self.whole, self.befell = *map(manifest.get, ("first", "next", "whole")), []
        self.start, self.to, self.expected, self.newest = when(manifest["from"]), when(manifest["to"]), self.first, None
        self.open, self.runs, self.configured, self.wrong, self.kept, self.woke = {}, {}, [-1], [], 0, (0, -DAY)
    def hold(self, holds, what): self.wrong += [] if holds else [what]
    def take(self, i, leaf):
        t, at, follows = leaf["t"], when(leaf["at"]), leaf.get("next") and when(leaf["next"])
        if t == "restored" and self.first <= i <= self.next: self.befell.append(f"; LOST: record {i} restored a backup")
        if i >= self.next: return
        who = self.runs.get(leaf["of"]) if t == "same" else i if leaf.get("who") is None else leaf["who"]
        if t == "configured": self.configured.append(i)
        if t == "run": self.runs[i] = who
        self.hold(t != "run" or leaf["config"] in self.configured, f"record {i}: its configuration is not there")
        if i < self.first:
            self.hold(at < self.start or t in OF_LOG, f"record {i} is of the period, but stands before it")
            if t in ("run", "same", "missed") and who is not None: self.open[who] = follows, i
            return
        self.hold(self.newest or at >= self.start, f"record {i} begins the period, but is from before it")
        self.hold(not self.whole or self.expected == i, f"records {self.expected} to {i - 1} are missing")
        if self.newest and at - self.newest > DAY: self.woke = self.newest, at
        self.expected, self.newest = i + 1, at
        (promised, by), slot = self.open.get(who, (None, -1)), leaf.get("slot") and when(leaf["slot"])
        if t == "retired": self.open.pop(who, None)
        elif t in ("ticked", "attested"): self.open.setdefault(who, (None, i))
        elif t in OF_SUBJECTS:
            if t == "missed": kept = promised is None or when(leaf["from"]) <= promised <= when(leaf["to"])
            elif slot: kept = promised == slot
            else: kept = promised is None or follows and follows <= promised or self.configured[-1] >= by
            self.hold(kept and (who in self.open or who == i), f"record {i} passes over what record {by} promised")
            self.kept, self.open[who] = self.kept + bool(slot or t == "missed"), (follows, i)
    def end(self):
        self.hold(not self.whole or self.expected == self.next, f"records from {self.expected} on are missing")
        self.hold(not self.newest or self.newest < self.to, "the period's last record is from after it")
        end = self.to if self.to - self.woke[1] > DAY // 24 else self.woke[0]  # having just woken, it has yet to tell
        still = [(slot, by) for slot, by in self.open.values() if slot]
        for slot, by in still: self.hold(slot >= end - DAY, f"a slot that record {by} promised was never accounted for")
        self.hold(self.runs or self.open, "nothing was watched in the period")
        of = "all records of the period" if self.whole else "some checks' records only"
        says = f"{of}: {self.kept} promises kept, {len(still)} open where the period ends" + "".join(self.befell[:10])
        return need(not self.wrong and says, "; ".join(self.wrong[:10]))
def check_witness(path, keys, size, tree, touched):  # keys: by the log's names, and how many records each may speak of
    texts, seen, lost = [pathlib.Path(path).read_bytes().decode()], [], []
    for line in (line.strip() for line in texts[0].split("\n") if line.startswith(("{", "[", '"'))):
        texts += map(json.loads, need(load(line), line) and re.findall(r'"(?:[^"\\]|\\.)*"', line))
    of_log = rf"(?m)^(?:{'|'.join(map(re.escape, keys))})\n[^\n]*\n[^\n]*\n\n(?:\u2014 [^\n]*\n?)*"
    notes = {note for text in texts for note in re.findall(of_log, text.replace("\r\n", "\n"))}
    for note in need(notes, "there is no checkpoint of this log in the witness' file"):
        key, restored = keys[note[:note.index("\n")]]
        theirs, root = checkpoint(signed(key, note.rstrip("\n") + "\n"))[1:]
        if restored is not None and theirs > restored: lost.append((restored, theirs))
        else: seen.append(need(theirs <= size and root_of(tree, theirs) == root and [theirs], "the log was rolled back "
                               f"or rewritten: it has {size} records, and not the first {theirs} that were seen")[0])
    says = f"{len(seen)} checkpoints kept elsewhere are of this log, up to record {max(seen, default=0)} of {size}"
    says += "".join(f"; LOST: {theirs} records were seen, of which a backup had {kept}" for kept, theirs in lost[:3])
    return "holds" if seen and not any(kept in touched for kept, _ in lost) else "in_part", says
def check(pack, key, witness, part):
    sums_hash, sums = check_files(pack)
    manifest = load(small(pack, "manifest.json").decode())
    need({k: type(v) for k, v in manifest.items()} == MANIFEST and manifest["format"] == 1, "the manifest is not known")
    start, end, made, size = when(manifest["from"]), when(manifest["to"]), when(manifest["made_at"]), manifest["size"]
    in_order = start <= end <= made and 0 <= manifest["first"] <= manifest["next"] <= size <= FILES * 256
    notes = [small(pack, name).decode() for name in ("checkpoint", "SHA256SUMS.note")]
    (name, stated, root), own = checkpoint(parse_note(notes[0])[0]), parse_key(small(pack, "key.txt").decode()[:-1])
    need(in_order and (name, stated) == (f"attestd/{manifest['origin']}", size), "manifest and checkpoint differ")
    need(parse_note(notes[1]) and own[2] == small(pack, "key.pem").decode(), "key.txt and key.pem are not the same key")
    places, promises = set(ALWAYS), Promises(manifest)
    tree = check_tiles(pack, size, root, places)
    need(all(f == f"blobs/{sums[f][:2]}/{sums[f]}" for f in set(sums) - places), "a file has no place in a pack")
    earlier = check_records(pack, sums, manifest, tree, promises.take)
    says = f"signed by {name}" + ("" if key else "; COMPARE key.txt with the key of the log's first event (--key)")
    part("authenticity", lambda: need(key in (None, own) and own[0] == name and signed(own, notes[0]) and signed(
        own, notes[1]) == f"{name}/pack\n{sums_hash}\n" and says, "it is not signed with the log's key"))
    keys, touched = {**earlier, name: (key or own, None)}, range(manifest["first"], manifest["next"] + 1)
    part("witnessed", lambda: check_witness(witness, keys, size, tree, touched) if witness else NOT_WITNESSED)
    part("complete", promises.end)
    return f"{manifest['records']} records, {len(sums)} files; {size} leaves hash up to the checkpoint's root"
def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for n in "pack --key --witness --json".split(): options.add_argument(n, action="store" + "_true" * (n == "--json"))
    asked, parts = options.parse_args(), "integrity authenticity witnessed complete"
    verdict = dict.fromkeys(parts.split(), ("not_looked_at", "the pack's integrity fails"))
    def part(name, judge):  # what judges says why it holds, or in what word else
        try: verdict[name] = said if isinstance(said := judge(), tuple) else ("holds", said)
        except Exception as error: verdict[name] = "fails", f"{type(error).__name__}: {error}"
    part("integrity", lambda: check(asked.pack, asked.key and parse_key(asked.key), asked.witness, part))
    if asked.json: print(json.dumps({name: {"word": word, "says": [says]} for name, (word, says) in verdict.items()}))
    else: print(*(f"{name:13} {word.replace('_', ' '):14} {says}" for name, (word, says) in verdict.items()), sep="\n")
    return any(word not in ("holds", "not_witnessed") for word, _ in verdict.values())
if __name__ == "__main__": sys.exit(main())
