"""submitit's executor for SLURM, with an sbatch of its own."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from submitit import SlurmExecutor
from submitit.core.utils import DelayedSubmission, JobPaths
from submitit.slurm.slurm import SlurmJob

from freqexp.config.cluster import ClusterConfig
from freqexp.errors import UserError
from freqexp_cluster import queue
from freqexp_cluster.executors import parameters
from freqexp_cluster.sbatch import RefusedError, Submitted, UnclearError, submit
from freqexp_cluster.surroundings import defaults


class Submitter(SlurmExecutor):
    """submitit's executor with an sbatch of its own.

    submitit takes the first number behind "job " in what was printed, hands on the variables of an
    allocation around it, and loses the job of an answer that it can't read.
    """

    def __init__(self, cluster: ClusterConfig, name: str, folder: Path, code: Path) -> None:
        """name: of the sweep. folder: of logs and pickles. code: the snapshot.

        Raises UserError without SLURM's commands.
        """
        try:
            super().__init__(folder, max_num_timeout=cluster.max_requeues)
        except RuntimeError:
            raise UserError(queue.no_slurm("srun")) from None
        self.update_parameters(**parameters(cluster, name, code))
        self._defaults = defaults(cluster)
        self.answer: Submitted | None = None
        """Of the newest submission."""

    def _internal_process_submissions(
        self, delayed_submissions: list[DelayedSubmission]
    ) -> list[Any]:
        folder = JobPaths.get_first_id_independent_folder(self.folder)
        self.answer = None
        pickles = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for each in delayed_submissions:
                pickles.append(folder / f"{uuid.uuid4().hex}.pkl")
                each.set_timeout(self.parameters["time"], self.max_num_timeout)
                each.dump(pickles[-1])
        except OSError as error:
            raise RefusedError(f"cannot write {folder}: {error.strerror}") from None
        jobs = self._submit_all(folder, len(pickles))
        try:
            for job, pickled in zip(jobs, pickles, strict=True):
                job.paths.move_temporary_file(pickled, "submitted_pickle")
        except OSError as error:
            raise UnclearError(
                f"job {jobs[0].job_id.split('_')[0]} was submitted, but what it is to compute "
                f"can't be written ({error.strerror}): cancel it"
            ) from None
        return jobs

    def _submit_all(self, folder: Path, number: int) -> list[SlurmJob[Any]]:
        file = folder / f".submission_file_{uuid.uuid4().hex}.sh"
        array = {"map_count": number} if number > 1 else {}
        self.parameters.update(array)
        try:
            file.write_text(self._make_submission_file_text(self._submitit_command_str, ""))
        except OSError as error:
            raise RefusedError(f"cannot write {file}: {error.strerror}") from None
        finally:
            for key in array:
                del self.parameters[key]
        self.answer = submit(file, str(self.parameters["job_name"]), self._defaults)
        job_id, tasks = self.answer.job_id, list(range(self._num_tasks()))
        ids = [f"{job_id}_{index}" for index in range(number)] if number > 1 else [job_id]
        JobPaths(self.folder, job_id).move_temporary_file(file, "submission_file")
        return [SlurmJob(folder=self.folder, job_id=each, tasks=tasks) for each in ids]
