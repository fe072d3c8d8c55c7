import { connect, type Socket } from 'node:net'

/** What came back over one connection, byte for byte. */
export interface WireAnswer {
  /** Everything that was received, as Latin-1. */
  text: string
  /** Status codes of the responses in it, in order. */
  statuses: number[]
  /** The server ended the connection by itself. */
  closed: boolean
}

/** Splits what was received into responses; each must have a Content-Length. */
export function splitResponses(
  text: string,
): { status: number; headers: [string, string][]; body: string }[] {
  const responses = []
  for (let rest = text; rest.startsWith('HTTP/1.1 '); ) {
    const headEnd = rest.indexOf('\r\n\r\n')
    const [statusLine = '', ...lines] = rest.slice(0, headEnd).split('\r\n')
    const headers = lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
    const length = Number(headers.find(([name]) => name === 'content-length')?.[1] ?? 0)
    const bodyStart = headEnd + 4
    responses.push({
      status: Number(statusLine.split(' ')[1]),
      headers,
      body: rest.slice(bodyStart, bodyStart + length),
    })
    rest = rest.slice(bodyStart + length)
  }
  return responses
}

/**
 * Writes bytes to a server and collects what it says until it closes, or until `until` says that it was enough.
 * @param base the server's URL
 */
export function sendRaw(
  base: string,
  data: string | Buffer | ((socket: Socket) => void),
  until: (answer: WireAnswer) => boolean = ({ closed }) => closed,
): Promise<WireAnswer> {
  const { hostname, port } = new URL(base)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname)
    let text = ''
    const answer = (closed: boolean): WireAnswer => ({
      text,
      closed,
      statuses: splitResponses(text).map(({ status }) => status),
    })
    const look = (closed: boolean) => {
      const now = answer(closed)
      if (!closed && !until(now)) return
      socket.destroy()
      resolve(now)
    }
    socket.setEncoding('latin1')
    socket.on('connect', () => {
      if (typeof data === 'function') data(socket)
      else socket.write(data)
    })
    socket.on('data', (chunk) => {
      text += chunk
      look(false)
    })
    socket.on('end', () => look(true))
    socket.on('close', () => look(true))
    // A reset is a close too: what was received before it counts.
    socket.on('error', () => look(true))
  })
}

/** A whole HTTP/1.1 request as text; Content-Length is set unless `headers` has one, or Transfer-Encoding. */
export function requestText(
  base: string,
  path: string,
  headers: Record<string, string>,
  body = '',
  method = 'POST',
): string {
  const names = Object.keys(headers).map((name) => name.toLowerCase())
  const framed = names.includes('content-length') || names.includes('transfer-encoding')
  const lines = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${new URL(base).host}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    ...(framed ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}
