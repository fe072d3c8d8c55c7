import { Agent, request } from 'node:http'
import { basic, CONFIDENTIAL } from './world.ts'

export interface TimedAnswer {
  status: number
  /** ms */
  took: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look at whatever came back
  body: any
}

export interface ManyRequests {
  /** Ports of the instances, each asked in turn. */
  ports: number[]
  total: number
  /** Connections to each instance, that is requests that wait for it at once. */
  connections: number
}

/** The same refresh many times at once, over all instances; by sockets of our own, since fetch costs more than what is tested. */
export async function refreshManyTimes(
  token: string,
  { ports, total, connections }: ManyRequests,
): Promise<TimedAnswer[]> {
  const body = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }).toString()
  const answers: TimedAnswer[] = []
  let left = total
  async function ask(port: number): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    try {
      while (left-- > 0) answers.push(await post(port, agent, body))
    } finally {
      agent.destroy()
    }
  }
  await Promise.all(ports.flatMap((port) => Array.from({ length: connections }, () => ask(port))))
  return answers
}

function post(port: number, agent: Agent, body: string): Promise<TimedAnswer> {
  const began = performance.now()
  return new Promise((resolve, reject) => {
    const headers = {
      'Content-Type': 'application/x-www-form-urlencoded',
      'Content-Length': body.length,
      ...basic(CONFIDENTIAL.id, CONFIDENTIAL.secret),
    }
    request({ host: '127.0.0.1', port, path: '/oauth/token', method: 'POST', agent, headers }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk) => {
        text += chunk
      })
      response.once('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          took: performance.now() - began,
          body: JSON.parse(text),
        }),
      )
    })
      .once('error', reject)
      .end(body)
  })
}

/** How many answers had each status. */
export function countStatuses(answers: TimedAnswer[]): Record<number, number> {
  const counts: Record<number, number> = {}
  for (const { status } of answers) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** The value that `share` of the answers do not exceed. */
export function percentile(answers: TimedAnswer[], share: number): number {
  const sorted = answers.map(({ took }) => took).sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
}
