-- How much waits and runs. ARGV: tenant, then queues
-- Returns of each {waiting, running, ms of the oldest} of the tenant, then of everybody.
local tenant, running = ARGV[1], {}

local function add_running(name)
  running[name] = (running[name] or 0) + 1
end

for _, member in ipairs(redis.call('ZRANGE', LEASES, 0, -1)) do
  local whose = split(member)
  local queue = redis.call('HGET', PREFIX .. 'job:' .. member, 'queue')
  if queue then
    add_running(queue)
    add_running(queue .. ':' .. whose)
  end
end

local function load_of(queue, whose)
  local waits = PREFIX .. 'waits:' .. queue .. ':' .. whose
  local first = redis.call('ZRANGE', waits, 0, 0, 'WITHSCORES')
  return redis.call('ZCARD', waits), first[2] and now - tonumber(first[2]) or 0
end

local rows = {}
for at = 2, #ARGV do
  local queue, waiting, longest = ARGV[at], 0, 0
  for _, each in ipairs(redis.call('ZRANGE', turns_of(queue), 0, -1)) do
    local count, oldest = load_of(queue, each)
    waiting, longest = waiting + count, math.max(longest, oldest)
  end
  local own_waiting, own_oldest = load_of(queue, tenant)
  rows[#rows + 1] = {
    own_waiting, running[queue .. ':' .. tenant] or 0, own_oldest, waiting, running[queue] or 0, longest,
  }
end
return rows
