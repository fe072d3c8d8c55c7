import { once } from 'node:events'
import type { Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'

/** What a client writes, and after which text of the answer it goes away without waiting for the end. */
export interface Exchange {
  readonly say: string
  readonly leaveAfter: string
}

/** Every byte that the server answers to each talk, in turn; only the time of day is taken out. */
export async function transcriptOf(
  server: Server,
  talks: readonly (string | Exchange)[],
  dial: (port: number) => Socket = (port) => connect(port, '127.0.0.1'),
): Promise<string[]> {
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const answers: string[] = []
  try {
    for (const talk of talks) answers.push(await answerTo(server, talk, dial(port)))
  } finally {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  return answers
}

async function answerTo(server: Server, talk: string | Exchange, socket: Socket): Promise<string> {
  const { say, leaveAfter } = typeof talk === 'string' ? { say: talk, leaveAfter: undefined } : talk
  // The server's end of the connection closes a little later: by then it has said all to the app.
  const over = new Promise<void>((resolve) => {
    server.once('connection', (theirs: Socket) => theirs.once('close', () => resolve()))
  })
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
    if (leaveAfter !== undefined && answer.includes(leaveAfter)) socket.destroy()
  })
  // A server that refuses closes before all is read, which the client may see as a reset.
  socket.on('error', () => {})
  socket.write(say)
  await once(socket, 'close')
  await over
  return answer.replace(/^Date: .+ GMT\r$/gm, 'Date: now\r')
}
