#!/bin/bash
# One training run on an EC2 instance: the same training/train.py as in a SageMaker training job, between S3 and a
# waiting Step Functions task (aws-sdk:ec2:runInstances.waitForTaskToken). The instance's user data, which the state
# LaunchInstance of statemachine/train_on_ec2.asl.json writes, sets a deadline (`shutdown -h +MINUTES`), exports what is
# below, unpacks the code bundle of CODE_URI, and runs this there: `exec bash training/ec2_bootstrap.sh`.
#
#   TASK_TOKEN            who waits: gets heartbeats, then {"model_data", "seconds", "instance_id", "metrics"}, or an error
#   DATA_URI              s3://... train|valid|test/CLASS/picture
#   FEATURES_URI          s3://... frozen features; empty: computed here
#   PRETRAINED_URI        s3://... weights; empty: none
#   CHECKPOINT_URI        s3://... where checkpoints are taken up from, and kept
#   OUTPUT_URI, LOG_URI   s3://.../model.tar.gz, s3://.../NAME.log
#   HYPERPARAMETERS_B64   base64 of a JSON object, name -> string
#   HEARTBEAT_SECONDS     between two heartbeats; AWS_DEFAULT_REGION
#
# Errors: TrainingFailed (cause: the program's own last line), SpotInterrupted (worth a new instance: checkpoints are
# kept). When nobody waits any more, training ends. On every path the last thing is `shutdown -h now`. The token is in
# no log and in no command line.
set -euo pipefail

CHECKPOINT_SECONDS=60
SPOT_SECONDS=5
STOP_SECONDS=60
export AWS_PAGER=""

code=$PWD
work=$(mktemp -d -p "${TMPDIR:-/var/tmp}")
log=$work/training.log
python=/opt/pytorch/bin/python
[[ -x $python ]] || python=$(command -v python3)
train=""
doing="starting"
: >"$log"

say() { printf 'ec2: %s\n' "$*" | tee -a "$log"; }

tool() { (cd "$code" && "$python" -m training.ec2_tools "$@"); }

# What cannot be undone by trying again ends the run: its last words become the cause.
step() {
  doing=$1
  shift
  say "$doing"
  "$@" >>"$log" 2>&1 &
  wait $! # and not in the foreground, where a signal would have to wait for the command's end
}

fetch() { aws s3 sync --only-show-errors "${1%/}/" "$2"; }

# Sends the request $2 (JSON) as stepfunctions $1. Status 1: refused, because nobody waits; 2: it did not get through.
send() {
  local request attempt
  request=$(mktemp -p "$work")
  printf '%s' "$2" >"$request"
  for attempt in 1 2 3; do
    aws stepfunctions "$1" --cli-input-json "file://$request" >"$request.answer" 2>&1 && return
    say "$1, attempt $attempt: $(tr '\n' ' ' <"$request.answer")"
    if grep -qE 'TaskTimedOut|InvalidToken|TaskDoesNotExist' "$request.answer"; then
      echo nobody >"$work/reason"
      return 1
    fi
    sleep $((attempt * 2))
  done
  return 2
}

heartbeats() {
  local beat second status
  beat=$(tool heartbeat)
  while true; do
    status=0
    send send-task-heartbeat "$beat" || status=$?
    ((status != 1)) || break
    for ((second = 0; second < HEARTBEAT_SECONDS; second++)); do sleep 1; done
  done
  kill -TERM $$
}

keep() {
  aws s3 sync --only-show-errors "$work/checkpoints" "${CHECKPOINT_URI%/}/" >>"$log" 2>&1 || say "checkpoints were not kept"
  aws s3 cp --only-show-errors "$log" "$LOG_URI" || say "the log was not kept"
}

guard() {
  local seconds=0
  while sleep 1; do
    seconds=$((seconds + 1))
    if ((seconds % SPOT_SECONDS == 0)) && tool metadata spot/instance-action >/dev/null; then
      echo spot >"$work/reason"
      kill -TERM $$
      return
    fi
    ((seconds % CHECKPOINT_SECONDS)) || keep
  done
}

stop_training() {
  local seconds
  [[ -n $train ]] || return 0
  kill -TERM "$train" 2>/dev/null || return 0
  for ((seconds = 0; seconds < STOP_SECONDS * 10; seconds++)); do
    kill -0 "$train" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$train" 2>/dev/null
}

# Every way out leads through here. $status is 0 only when the model has been reported.
finish() {
  local status=$? reason="" message="" last
  trap - EXIT
  trap '' TERM INT
  set +e
  [[ -f $work/reason ]] && reason=$(<"$work/reason")
  last=$(tail -n 1 "$log" | cut -c 1-800)
  # shellcheck disable=SC2046 # one word a job
  kill $(jobs -p) 2>/dev/null
  stop_training
  if ((status != 0)); then
    say "ended while $doing${reason:+ ($reason)}"
    keep
    case $reason in
      nobody) ;;
      spot) message=$(tool failure /dev/null SpotInterrupted "the spot instance was taken back") ;;
      *) message=$(tool failure "$log" TrainingFailed "$doing failed: $last") ;;
    esac
    [[ -z $message ]] || send send-task-failure "$message"
    tail -n 50 "$log"
  fi
  rm -rf "$work"
  shutdown -h now
}
trap finish EXIT
trap 'exit 143' TERM INT

install_missing() {
  tool missing requirements.txt >"$work/missing.txt"
  ! grep -q . "$work/missing.txt" || "$python" -m pip install --quiet --requirement "$work/missing.txt"
}

run_training() {
  local -a words=()
  tool arguments "$HYPERPARAMETERS_B64" >"$work/arguments" 2>>"$log"
  mapfile -d '' -t words <"$work/arguments"
  mkdir -p "$work/model" "$work/output"
  (
    unset TASK_TOKEN
    export SM_CHANNEL_TRAINING=$work/data SM_MODEL_DIR=$work/model SM_OUTPUT_DATA_DIR=$work/output
    export SM_CHECKPOINT_DIR=$work/checkpoints SM_HOSTS='["algo-1"]' SM_CURRENT_HOST=algo-1 SM_MODULE_DIR=${CODE_URI:-}
    [[ -z $FEATURES_URI ]] || export SM_CHANNEL_FEATURES=$work/features
    [[ -z $PRETRAINED_URI ]] || export SM_CHANNEL_PRETRAINED=$work/pretrained
    exec "$python" training/train.py "${words[@]}"
  ) >>"$log" 2>&1 &
  train=$!
  wait "$train"
  train=""
}

pack() { (cd "$work/model" && tar -czf "$work/model.tar.gz" -- *); }

heartbeats &
instance=$(tool metadata instance-id)
mkdir -p "$work/checkpoints"
step "installing what is missing" install_missing
step "fetching the data" fetch "$DATA_URI" "$work/data"
[[ -z $FEATURES_URI ]] || step "fetching the features" fetch "$FEATURES_URI" "$work/features"
[[ -z $PRETRAINED_URI ]] || step "fetching the weights" fetch "$PRETRAINED_URI" "$work/pretrained"
step "fetching the checkpoints" fetch "$CHECKPOINT_URI" "$work/checkpoints"
guard &
doing="training" && say "$doing"
run_training
step "packing the model" pack
step "uploading the model" aws s3 cp --only-show-errors "$work/model.tar.gz" "$OUTPUT_URI"
step "uploading the log" aws s3 cp --only-show-errors "$log" "$LOG_URI"
doing="reporting"
send send-task-success "$(tool success "$log" "$OUTPUT_URI" "$SECONDS" "$instance")"
