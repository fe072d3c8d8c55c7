import http from 'node:http'
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals'
import { createServer } from '../../lib/server.ts'
import { type Behaviour, behaviours, majors } from './apps.ts'
import { transcriptOf } from './transcript.ts'

type Make = (app: ReturnType<Behaviour['app']>) => http.Server

const logged: string[] = []
beforeEach(() => {
  jest.spyOn(console, 'error').mockImplementation((text) => {
    logged.push(String(text).replace(/\n.*/s, ''))
  })
})
afterEach(() => {
  jest.restoreAllMocks()
})

describe.each(majors)('express %d answers the same, byte for byte', (_major, express) => {
  /** What clients get, what the app notes, and what Express says in the console. */
  async function observe({ app, talks }: Behaviour, env: string, make: Make) {
    const notes: string[] = []
    const answers = await transcriptOf(make(app(express, (text) => notes.push(text)).set('env', env)), talks)
    return { answers, notes, logged: logged.splice(0) }
  }

  test.each(behaviours)('$name', async (behaviour) => {
    const stock = await observe(behaviour, 'production', (app) => http.createServer(app))
    const ours = await observe(behaviour, 'production', (app) => createServer(app))
    expect(ours).toEqual(stock)
    expect(stock.answers.filter((answer) => !answer.startsWith('HTTP/1.1 '))).toEqual([])
  })

  test.each(behaviours)('$name, but for one frame where stack traces are shown', async (behaviour) => {
    const stock = await observe(behaviour, 'development', (app) => http.createServer(app))
    const ours = await observe(behaviour, 'development', (app) => createServer(app))
    const withoutSizes = ({ answers, ...rest }: typeof ours) => ({
      answers: answers.map((answer) => answer.replace(/^Content-Length: .*/m, '')),
      ...rest,
    })
    const withoutFrame = (answer: string) =>
      answer.replace(/<br> &nbsp; &nbsp;at Server\.emit \([^()]*\/lib\/server\.ts:[\d:]+\)/g, '')
    const { answers, ...rest } = withoutSizes(ours)
    expect({ answers: answers.map(withoutFrame), ...rest }).toEqual(withoutSizes(stock))
  })
})
