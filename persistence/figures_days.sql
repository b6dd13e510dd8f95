-- The figures of finished days, and which days those are.

-- name: stored-figures
-- Of the agent $2, or of everybody in the organization if that is null.
SELECT agent_id, date, total_conversations, conversations_accepted, conversations_completed, conversations_released,
       conversations_reassigned_in, conversations_reassigned_out, conversations_reopened,
       total_messages_sent, total_messages_received, avg_message_length_chars, texts_sent,
       avg_first_response_ms, first_responses, avg_first_response_from_assignment_ms,
       avg_response_time_ms, responses, min_response_time_ms, max_response_time_ms,
       avg_handle_time_ms, handled, avg_wait_ms, waits, concurrent_peak, total_online_minutes
FROM performance_metrics
WHERE organization_id = $1 AND ($2::uuid IS NULL OR agent_id = $2) AND date >= $3::date AND date <= $4::date

-- name: last-aggregated-day
SELECT max(date) FROM aggregated_days

-- name: lock-aggregation
SELECT pg_advisory_xact_lock(hashtextextended('chatopshub figures', 0))

-- name: next-day
-- The day after the last one that is done; of a new installation the day on
-- which its first organization was made.
SELECT coalesce((SELECT max(date) + 1 FROM aggregated_days), (SELECT (min(created_at) AT TIME ZONE 'UTC')::date FROM organizations))

-- name: store-figures
INSERT INTO performance_metrics AS p (organization_id, agent_id, date, total_conversations, conversations_accepted,
    conversations_completed, conversations_released, conversations_reassigned_in, conversations_reassigned_out, conversations_reopened,
    total_messages_sent, total_messages_received, avg_message_length_chars, texts_sent,
    avg_first_response_ms, first_responses, avg_first_response_from_assignment_ms,
    avg_response_time_ms, responses, min_response_time_ms, max_response_time_ms,
    avg_handle_time_ms, handled, avg_wait_ms, waits, concurrent_peak, total_online_minutes)
VALUES ($1, $2, $3::date, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)
ON CONFLICT (agent_id, date) DO UPDATE
SET organization_id = excluded.organization_id, total_conversations = excluded.total_conversations,
    conversations_accepted = excluded.conversations_accepted, conversations_completed = excluded.conversations_completed,
    conversations_released = excluded.conversations_released, conversations_reassigned_in = excluded.conversations_reassigned_in,
    conversations_reassigned_out = excluded.conversations_reassigned_out, conversations_reopened = excluded.conversations_reopened,
    total_messages_sent = excluded.total_messages_sent, total_messages_received = excluded.total_messages_received,
    avg_message_length_chars = excluded.avg_message_length_chars, texts_sent = excluded.texts_sent,
    avg_first_response_ms = excluded.avg_first_response_ms, first_responses = excluded.first_responses,
    avg_first_response_from_assignment_ms = excluded.avg_first_response_from_assignment_ms,
    avg_response_time_ms = excluded.avg_response_time_ms, responses = excluded.responses,
    min_response_time_ms = excluded.min_response_time_ms, max_response_time_ms = excluded.max_response_time_ms,
    avg_handle_time_ms = excluded.avg_handle_time_ms, handled = excluded.handled, avg_wait_ms = excluded.avg_wait_ms,
    waits = excluded.waits, concurrent_peak = excluded.concurrent_peak, total_online_minutes = excluded.total_online_minutes,
    updated_at = now()
WHERE (p.organization_id, p.total_conversations, p.conversations_accepted, p.conversations_completed, p.conversations_released,
        p.conversations_reassigned_in, p.conversations_reassigned_out, p.conversations_reopened, p.total_messages_sent,
        p.total_messages_received, p.avg_message_length_chars, p.texts_sent, p.avg_first_response_ms, p.first_responses,
        p.avg_first_response_from_assignment_ms, p.avg_response_time_ms, p.responses, p.min_response_time_ms, p.max_response_time_ms,
        p.avg_handle_time_ms, p.handled, p.avg_wait_ms, p.waits, p.concurrent_peak, p.total_online_minutes)
    IS DISTINCT FROM (excluded.organization_id, excluded.total_conversations, excluded.conversations_accepted, excluded.conversations_completed, excluded.conversations_released,
        excluded.conversations_reassigned_in, excluded.conversations_reassigned_out, excluded.conversations_reopened, excluded.total_messages_sent,
        excluded.total_messages_received, excluded.avg_message_length_chars, excluded.texts_sent, excluded.avg_first_response_ms, excluded.first_responses,
        excluded.avg_first_response_from_assignment_ms, excluded.avg_response_time_ms, excluded.responses, excluded.min_response_time_ms, excluded.max_response_time_ms,
        excluded.avg_handle_time_ms, excluded.handled, excluded.avg_wait_ms, excluded.waits, excluded.concurrent_peak, excluded.total_online_minutes)

-- name: drop-figures
DELETE FROM performance_metrics WHERE date = $1::date AND agent_id <> ALL ($2::uuid[])

-- name: mark-day
INSERT INTO aggregated_days (date) VALUES ($1::date) ON CONFLICT (date) DO NOTHING
