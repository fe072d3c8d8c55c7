const CR = 0x0d

/** Cuts a byte stream into whole RESP frames (2 and 3), without changing a byte of them. */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0)

  /** The frames that this chunk completes; an unfinished one waits for the next chunk. */
  push(chunk: Buffer): Buffer[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const frames: Buffer[] = []
    let start = 0
    for (;;) {
      const end = frameEnd(bytes, start)
      if (end < 0) break
      frames.push(bytes.subarray(start, end))
      start = end
    }
    this.#rest = bytes.subarray(start)
    return frames
  }
}

/** Where the frame that begins at `start` ends; -1 when it is not all there. */
function frameEnd(bytes: Buffer, start: number): number {
  const line = bytes.indexOf('\r\n', start)
  if (start >= bytes.length || line < 0) return -1
  const after = line + 2
  const type = String.fromCharCode(bytes[start] ?? 0)
  const length = Number(bytes.toString('latin1', start + 1, line))
  switch (type) {
    case '$':
    case '=':
    case '!': {
      const end = length < 0 ? after : after + length + 2
      return end <= bytes.length ? end : -1
    }
    case '*':
    case '~':
    case '>':
      return framesEnd(bytes, after, length)
    case '%':
      return framesEnd(bytes, after, 2 * length)
    case '|':
      // Attributes stand before the reply that they belong to.
      return framesEnd(bytes, after, 2 * length + 1)
    default:
      // A simple string, error, number, boolean, null, double; or an inline command.
      return after
  }
}

function framesEnd(bytes: Buffer, start: number, count: number): number {
  let end = start
  for (let index = 0; index < count && end >= 0; index++) end = frameEnd(bytes, end)
  return end
}

/** The arguments of a command: an array of bulk strings, or an inline command. */
export function argumentsOf(frame: Buffer): Buffer[] {
  if (frame[0] !== 0x2a)
    return frame
      .toString()
      .trim()
      .split(/\s+/)
      .filter(Boolean)
      .map((word) => Buffer.from(word))
  return bulkStrings(frame)
}

/** The kind of a push ('message', 'subscribe', 'invalidate', …), or of an array that may be one in RESP 2. */
export function kindOf(frame: Buffer): string | undefined {
  if (frame[0] !== 0x3e && frame[0] !== 0x2a) return undefined
  return bulkStrings(frame, 1)[0]?.toString().toLowerCase()
}

export function isPush(frame: Buffer): boolean {
  return frame[0] === 0x3e
}

/** The bulk strings that an array begins with. */
function bulkStrings(frame: Buffer, most = Number.POSITIVE_INFINITY): Buffer[] {
  const strings: Buffer[] = []
  let at = frame.indexOf(CR) + 2
  while (at < frame.length && strings.length < most && frame[at] === 0x24) {
    const line = frame.indexOf(CR, at)
    const length = Number(frame.toString('latin1', at + 1, line))
    strings.push(frame.subarray(line + 2, line + 2 + Math.max(length, 0)))
    at = line + 2 + (length < 0 ? 0 : length + 2)
  }
  return strings
}
