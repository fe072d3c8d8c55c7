/**
 * The load: connections that each wait for their answer before they ask again, or that ask at a fixed rate. Requests are
 * written as they are, and answers read just as far as is needed, so that one CPU loads a fast server.
 */

import { once } from 'node:events'
import { connect } from 'node:net'

/**
 * `next` gives the text of the connection's next request; `onAnswer` judges an answer, where its status is not enough. `rate`
 * is requests a second over all connections, default as many as are answered; `total` how many there are, default no limit.
 * `isAwake`: it never sleeps. Whoever answers one that sleeps has to wake another CPU, which costs a server up to a microsecond, and
 * a slower server more often, as the load then sleeps more. Not where others want the same CPU.
 * @typedef {{
 *   url: string,
 *   connections?: number,
 *   seconds: number,
 *   next: (connection: number) => string,
 *   onAnswer?: (connection: number, status: number, body: string) => boolean,
 *   status?: number,
 *   rate?: number | undefined,
 *   total?: number,
 *   isAwake?: boolean,
 * }} Load
 * @typedef {{ answers: number, bad: number, seconds: number, p50: number, p99: number }} Loaded milliseconds of `p50`, `p99`
 */

export const CONNECTIONS = 32
const END_OF_HEADERS = '\r\n\r\n'

/** @param {Load} load @returns {Promise<Loaded>} */
export async function run({
  url,
  connections = CONNECTIONS,
  seconds,
  next,
  onAnswer,
  status: good = 200,
  rate,
  total = Number.POSITIVE_INFINITY,
  isAwake = false,
}) {
  const { port, hostname } = new URL(url)
  const sockets = Array.from({ length: connections }, () =>
    connect({ port: Number(port), host: hostname, noDelay: true }),
  )
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))

  /** @type {number[]} */
  const latencies = []
  /** When each connection asked, or at a fixed rate should have asked; 0 where it asks nothing. */
  const asked = new Float64Array(connections)
  let bad = 0
  let open = 0
  let sent = 0
  let ends = false
  const begin = performance.now()
  const deadline = begin + seconds * 1000
  const over = withResolvers()

  /** @param {number} i @param {number} [due] */
  function ask(i, due = performance.now()) {
    asked[i] = due
    open++
    sent++
    sockets[i]?.write(next(i), 'latin1')
  }

  /** @param {number} i @param {number} status @param {string} body */
  function answered(i, status, body) {
    const now = performance.now()
    latencies.push(now - (asked[i] ?? 0))
    asked[i] = 0
    open--
    if (!(onAnswer ? onAnswer(i, status, body) : status === good)) bad++
    if (now >= deadline || sent >= total) ends = true
    if (!ends && rate === undefined) ask(i)
    if (ends && open === 0) over.resolve()
  }

  for (const [i, socket] of sockets.entries()) {
    readAnswers(socket, (status, body) => answered(i, status, body))
    socket.once('error', over.reject)
    socket.once('close', () => over.reject(new Error(`${url} closed a connection`)))
  }
  let staysAwake = isAwake
  if (isAwake) stayAwake()
  if (rate === undefined) for (const i of sockets.keys()) ask(i)
  else pace(rate)

  function stayAwake() {
    if (staysAwake) setImmediate(stayAwake)
  }

  /** Asks on idle connections, however slowly answers come; late requests are made up for. @param {number} perSecond */
  function pace(perSecond) {
    const timer = setInterval(() => {
      const now = performance.now()
      if (now >= deadline) {
        clearInterval(timer)
        ends = true
        if (open === 0) over.resolve()
        return
      }
      const due = Math.floor(((now - begin) / 1000) * perSecond)
      for (let i = 0; i < connections && sent < due; i++)
        if (asked[i] === 0) ask(i, begin + (sent * 1000) / perSecond)
    }, 1)
  }

  await over.promise.finally(() => {
    staysAwake = false
  })
  const took = (performance.now() - begin) / 1000
  for (const socket of sockets)
    socket
      .removeAllListeners()
      .on('error', () => undefined)
      .destroy()
  latencies.sort((a, b) => a - b)
  const at = (/** @type {number} */ share) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN
  return { answers: latencies.length, bad, seconds: took, p50: at(0.5), p99: at(0.99) }
}

/** @param {import('node:net').Socket} socket @param {(status: number, body: string) => void} onAnswer */
function readAnswers(socket, onAnswer) {
  let text = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    text = text === '' ? `${chunk}` : text + chunk
    for (;;) {
      const headers = text.indexOf(END_OF_HEADERS)
      if (headers === -1) return
      const head = text.slice(0, headers)
      const start = headers + END_OF_HEADERS.length
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
      // Chunks are all there once the last one is, which is empty.
      const end = length === undefined ? text.indexOf('0\r\n\r\n', start) + 5 : start + Number(length)
      if (text.length < end || (length === undefined && end === 4)) return
      const body = text.slice(start, end)
      text = text.slice(end)
      onAnswer(Number(head.slice(9, 12)), body)
    }
  })
}

/** `Promise.withResolvers`, which Node 20 lacks. @returns {{ promise: Promise<any>, resolve: () => void, reject: (error: Error) => void }} */
function withResolvers() {
  /** @type {any} */
  const all = {}
  all.promise = new Promise((resolve, reject) => Object.assign(all, { resolve, reject }))
  return all
}

/**
 * The text of a request.
 * @param {string} method @param {string} path @param {Record<string, string>} headers @param {string} [body]
 */
export function request(method, path, headers, body) {
  const all = {
    Host: 'bench.example',
    ...headers,
    ...(body === undefined ? {} : { 'Content-Length': `${body.length}` }),
  }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}${END_OF_HEADERS}${body ?? ''}`
}
