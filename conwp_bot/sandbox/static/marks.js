// WhatsApp's marks as DOM nodes. Text only ever becomes text nodes: a message is data, whatever it looks like.

const MARKS = [
  { mark: "```", tag: "code", block: true },
  { mark: "`", tag: "code", plain: true },
  { mark: "*", tag: "strong" },
  { mark: "_", tag: "em" },
  { mark: "~", tag: "s" },
];
const WORD = /[\p{L}\p{N}]/u;

// Returns where the mark that opens at `start` closes, or -1. As WhatsApp does: it touches no space inside, no letter outside.
function closing(text, start, { mark, block }) {
  const inside = start + mark.length;
  if (start > 0 && WORD.test(text[start - 1])) return -1;
  if (inside >= text.length || (!block && /\s/.test(text[inside]))) return -1;
  for (let at = text.indexOf(mark, inside); at !== -1; at = text.indexOf(mark, at + 1)) {
    const line = text.slice(inside, at);
    if (!block && line.includes("\n")) return -1;
    const after = text[at + mark.length];
    if (at > inside && (block || !/\s/.test(text[at - 1])) && !(after && WORD.test(after))) return at;
  }
  return -1;
}

/** Append `text` to `parent`, with *bold*, _italic_, ~struck~, `mono` and ```mono``` as elements. */
export function appendMarked(parent, text, depth = 0) {
  let from = 0;
  for (let at = 0; at < text.length; ) {
    const kind = depth < 6 ? MARKS.find(({ mark }) => text.startsWith(mark, at)) : undefined;
    const end = kind ? closing(text, at, kind) : -1;
    if (!kind || end === -1) {
      at += kind ? kind.mark.length : 1;
      continue;
    }
    if (at > from) parent.append(text.slice(from, at));
    const element = document.createElement(kind.tag);
    const inner = text.slice(at + kind.mark.length, end);
    if (kind.tag === "code") element.append(inner);
    else appendMarked(element, inner, depth + 1);
    parent.append(element);
    at = from = end + kind.mark.length;
  }
  if (from < text.length) parent.append(text.slice(from));
}
