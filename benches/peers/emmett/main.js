#!/usr/bin/env node
// Twin: Emmett with its PostgreSQL store, on Node. Started as `main.js ADDRESS DATABASE_URL VARIANT`; the best variant has a larger pool, and larger batches
// for a rebuild. As the twin of a view it answers what `projection` does: `POST /fill?accounts=&each=`, `POST /rebuild`, `GET /rows/{key}`.

import { createServer } from 'node:http';
import { CommandHandler, IllegalStateError } from '@event-driven-io/emmett';
import {
  getPostgreSQLEventStore, pongoSingleStreamProjection, rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';
import pg from 'pg';

const [address, databaseUrl, variant] = process.argv.slice(2);
const [host, port] = address.split(':');

const pool = new pg.Pool({ connectionString: databaseUrl, max: variant === 'best' ? 32 : 10 });
const store = getPostgreSQLEventStore(databaseUrl, { connectionOptions: { pool } });
await store.schema.migrate();

const evolve = (account, { type, data }) => type === 'Opened'
  ? { ...account, open: true }
  : { ...account, balance: account.balance + data.amount };

const decide = (command, data) => (account) => {
  if (command === 'Open') {
    if (account.open) throw new IllegalStateError('already-open');
    return { type: 'Opened', data };
  }
  if (!account.open) throw new IllegalStateError('not-open');
  if (data.amount === 0) throw new IllegalStateError('amount-is-zero');
  return { type: 'Deposited', data };
};

const handle = CommandHandler({
  evolve,
  initialState: () => ({ open: false, balance: 0 }),
  retry: { onVersionConflict: 10 },
});

const balances = pongoSingleStreamProjection({
  collectionName: 'balances',
  canHandle: ['Opened', 'Deposited'],
  evolve: (row, { type, data }) => type === 'Opened'
    ? { owner: data.owner, balance: 0 }
    : { ...row, balance: row.balance + data.amount },
});

async function fill(accounts, each) {
  const deposits = Array.from({ length: each - 1 }, () => ({ type: 'Deposited', data: { amount: 1 } }));
  const events = [{ type: 'Opened', data: { owner: 'ann' } }, ...deposits];
  // One after the other: what is appended at the same time, a rebuild skips.
  for (let number = 0; number < accounts; number += 1) await store.appendToStream(`acc-${number}`, events);
  return { events: accounts * each };
}

async function rebuild() {
  // A second one would go on where the first has ended.
  await pool.query('DELETE FROM emt_processors');
  const options = variant === 'best' ? { pulling: { batchSize: 1_000 } } : {};
  const consumer = rebuildPostgreSQLProjections({ connectionString: databaseUrl, projection: balances, ...options });
  try {
    await consumer.start();
  } finally {
    await consumer.close();
  }
  const { rows: [{ events }] } = await pool.query("SELECT sum((data->>'balance')::BIGINT + 1)::BIGINT AS events FROM balances");
  return { events: Number(events) };
}

async function answerOfView(request) {
  const { pathname, searchParams } = new URL(request.url, 'http://twin');
  if (request.method === 'POST' && pathname === '/fill') {
    return [200, await fill(Number(searchParams.get('accounts')), Number(searchParams.get('each')))];
  }
  if (request.method === 'POST' && pathname === '/rebuild') return [200, await rebuild()];
  const { rows: [row] } = await pool.query('SELECT data FROM balances WHERE _id = $1', [pathname.slice('/rows/'.length)]);
  return row === undefined ? [404, { code: 'not-found' }] : [200, row.data];
}

async function readBody(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return JSON.parse(Buffer.concat(parts).toString());
}

async function answer(request) {
  if (request.url === '/readyz') return [200, { status: 'ready' }];
  if (!request.url.startsWith('/v1/')) return answerOfView(request);
  const [, id] = request.url.match(/^\/v1\/deciders\/account\/([^/]+)\/commands$/) ?? [];
  if (request.method !== 'POST' || id === undefined) return [404, { code: 'not-found' }];
  const { command, data } = await readBody(request);
  try {
    const { nextExpectedStreamVersion, newEvents } = await handle(store, `account-${id}`, decide(command, data));
    return [200, { decider: 'account', id, version: Number(nextExpectedStreamVersion), events: newEvents }];
  } catch (error) {
    if (error instanceof IllegalStateError) {
      return [422, { code: 'command-rejected', rejection: { code: error.message } }];
    }
    console.error(error);
    return [500, { code: 'internal' }];
  }
}

const server = createServer(async (request, response) => {
  const [status, body] = await answer(request);
  response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), host);
process.on('SIGTERM', () => process.exit(0));
