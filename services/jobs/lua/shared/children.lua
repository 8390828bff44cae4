-- Starting jobs; those that belong to another one; and the children of a `map` step, some of which run at once.

-- Creates a job, or finds the one that the same idempotency key started.
-- arguments: tenant, owner, id, idempotency key or '', fingerprint, by, then the job's fields: name, value, name …
-- Returns {'created' | 'known', id, status} or {'reused'}.
local function start_job(arguments)
  local tenant, owner, id, idempotency, fingerprint = unpack(arguments, 1, 5)
  local promise = PREFIX .. 'idem:' .. tenant .. ':' .. owner .. ':' .. idempotency
  if idempotency ~= '' then
    local known = redis.call('HMGET', promise, 'job', 'fingerprint')
    if known[1] then
      if known[2] ~= fingerprint then return {'reused'} end
      return {'known', known[1], find(tenant, known[1]).status}
    end
    redis.call('HSET', promise, 'job', id, 'fingerprint', fingerprint)
  end
  local job = new_job(tenant, id, {unpack(arguments, 7)})
  if job.parent then
    redis.call('ZADD', PREFIX .. 'children:' .. tenant .. ':' .. job.parent, 0, id)
    redis.call('SADD', PREFIX .. 'live:' .. tenant .. ':' .. job.parent, id)
  else
    set_index(job, 'index', true)
  end
  if job.deadline_ms then
    job.time_left = math.max(0, (job.wake_at or now) - now) + tonumber(job.deadline_ms)
    add(job.unwritten, 'time_left', job.time_left)
  end
  advance(job, 'start', {by = arguments[6]})
  return {'created', id, job.status}
end

-- The same however often the step is tried, so that what succeeded is not done again; another one once it is redone.
local function child_id(job, item)
  local redo = get_step(job, 'redo')
  return job.id .. '-' .. job.cursor .. '-' .. item .. (redo and '-r' .. redo or '')
end

-- Starts children while there is room. None after one has failed, unless that is allowed.
local function feed(job)
  local facts = redis.call('HMGET', job.steps, job.cursor .. ':parallel', job.cursor .. ':partial',
    job.cursor .. ':failed', job.cursor .. ':live')
  local room = tonumber(facts[1]) - tonumber(facts[4])
  if facts[2] ~= '1' and tonumber(facts[3]) > 0 then room = 0 end
  for _ = 1, room do
    local text = redis.call('LPOP', key_of(job, 'pending'))
    if not text then return end
    local item, written = split(text)
    local arguments = cjson.decode(written)
    arguments[3] = child_id(job, item)
    count_step(job, 'live', 1)
    local child = find(job.tenant, arguments[3])
    if child then retry_job(child, {by = job.id}) else start_job(arguments) end
  end
end

-- What the children have brought about, in order of their items; nil when it is too much. Results are joined as they are
-- written.
local function gather(job)
  local parts, size = {}, 2
  for item = 0, tonumber(get_step(job, 'total')) - 1 do
    local child, status, result, reason = find(job.tenant, child_id(job, item)), 'pending', 'null', nil
    if child then
      status, reason = child.status, redis.call('HGET', child.key, 'error')
      if status == 'succeeded' then result = get_step(child, 'result', #child.plan - 1) or 'null' end
    end
    parts[#parts + 1] = '{"job_id":' .. (child and cjson.encode(child.id) or 'null') .. ',"status":"' .. status
      .. '","result":' .. result .. ',"error":' .. (reason and cjson.encode(reason) or 'null') .. '}'
    size = size + #parts[#parts] + 1
    if size > MAX_RESULT then return nil end
  end
  return '[' .. table.concat(parts, ',') .. ']'
end

local function join(job)
  local facts = redis.call('HMGET', job.steps, job.cursor .. ':total', job.cursor .. ':failed', job.cursor .. ':partial')
  local result, failed = gather(job), tonumber(facts[2])
  local reason
  if failed > 0 and facts[3] ~= '1' then
    reason = failed .. ' of ' .. facts[1] .. ' children failed'
  elseif not result then
    reason = 'the results have more than ' .. MAX_RESULT .. ' bytes together'
  end
  redis.call('DEL', key_of(job, 'pending'))
  if reason then
    redis.call('HSETNX', job.steps, job.cursor .. ':result', result or 'null')
    fail_step(job, reason, {})
    fail_job(job, 'join', reason, {})
  else
    close(job, 'passed', result, {})
    advance(job, 'join', {})
  end
end

-- Goes on with the children of the `map` step at the cursor: starts some, or is done.
rejoin = function(job)
  if job.status == 'scheduled' then feed(job) end
  if tonumber(get_step(job, 'live')) > 0 then return end
  local failed = tonumber(get_step(job, 'failed')) > 0 and get_step(job, 'partial') ~= '1'
  if failed or redis.call('LLEN', key_of(job, 'pending')) == 0 then join(job) end
end

-- A job's cost is its parent's too once it has ended, and that of all above.
local function tell_cost(job, parent)
  local spent = redis.call('HMGET', job.key, 'cost', 'cost_told')
  if not spent[1] then return end
  redis.call('HINCRBYFLOAT', parent.key, 'cost', tonumber(spent[1]) - tonumber(spent[2] or 0))
  redis.call('HSET', job.key, 'cost_told', spent[1])
  -- Later than the parent: it does not tell of it any more.
  local above = FINAL[parent.status] and parent.parent and find(parent.tenant, parent.parent)
  if above then tell_cost(parent, above) end
end

-- A job that belongs to another one has ended.
child_ended = function(job)
  -- Also when that one is deleted by now.
  redis.call('SREM', PREFIX .. 'live:' .. job.tenant .. ':' .. job.parent, job.id)
  local parent = find(job.tenant, job.parent)
  if not parent then return end
  tell_cost(job, parent)
  local data = {child = job.id, status = job.status}
  local mapped = job.item and not FINAL[parent.status] and get_step(parent, 'total')
    and string.find(job.id, parent.id .. '-' .. parent.cursor .. '-', 1, true) == 1
  if mapped then
    count_step(parent, 'live', -1)
    data.ended, data.total = count_step(parent, 'ended', 1), tonumber(get_step(parent, 'total'))
    data.failed = count_step(parent, 'failed', job.status == 'succeeded' and 0 or 1)
  end
  emit(parent, 'child.ended', job.status, data)
  if mapped then rejoin(parent) end
end
