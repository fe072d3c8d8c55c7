import { expect, test } from '@jest/globals'
import { aDocument, CACHED, startSite } from '../client-metadata-documents/site.ts'
import { until } from '../support/until.ts'
import { Browser } from '../support/world.ts'

// One user with an account agrees to many clients of her own, whose hosts then say nothing for five seconds each time.
test('documents that somebody relies on and whose hosts hang do not keep new ones from being fetched', async () => {
  const site = await startSite({ authorize: { rateLimit: false } })
  const { host, world } = site
  const parametersOf = (name: string) => ({
    client_id: `https://${name}.client-host.com/client.json`,
    redirect_uri: `https://${name}.client-host.com/cb`,
  })
  let hangs = (_host: string) => false
  let hanging = 0
  host.answer((req, res) => {
    const name = req.headers.host ?? ''
    if (hangs(name)) return void hanging++
    res.writeHead(200, { 'Content-Type': 'application/json', ...CACHED })
    res.end(
      JSON.stringify(
        aDocument({ client_id: `https://${name}/client.json`, redirect_uris: [`https://${name}/cb`] }),
      ),
    )
  })
  try {
    const names = Array.from({ length: 70 }, (_, index) => `slow${index}`)
    for (const [index, name] of names.entries()) {
      // Sixty in a minute from one address.
      if (index % 50 === 0) world.clock.advance(60)
      expect((await world.authorize(parametersOf(name))).code).not.toBe('')
    }
    world.clock.advance(601)
    hangs = (name) => name.startsWith('slow')
    let byCopy = 0
    const slow = names.map(async (name) => {
      const answered = await new Browser(world.base).get(world.authorizeUrl(parametersOf(name)))
      byCopy++
      return answered
    })
    // Those that find no place go on by the copy at once, the others when their time is over.
    await until('each hangs or is answered', () => hanging + byCopy === names.length)
    const answer = await new Browser(world.base).get(world.authorizeUrl(parametersOf('new')))
    expect(answer.status).toBe(303)
    host.pass(5)
    for (const answered of await Promise.all(slow)) expect(answered.status).toBe(303)
  } finally {
    await site.close()
  }
})

test('hosts of strangers that are away are 503, and no fault of this server: nobody can raise its alarms by them', async () => {
  const site = await startSite({ authorize: { rateLimit: false } })
  try {
    site.host.connectBy(() => Promise.reject(new Error('nobody is there')))
    for (let index = 0; index < 20; index++) {
      const { status, headers } = await site.ask({
        client_id: `https://${index}.client-host.com/client.json`,
      })
      expect([status, Number(headers.get('retry-after')) > 0]).toEqual([503, true])
    }
    expect(site.world.eventsNamed('client.document_unavailable')).toHaveLength(20)
    expect(site.world.eventsNamed('fault')).toEqual([])
  } finally {
    await site.close()
  }
})
